// Gradients of Winograd convolutions by their kernels: the tiles of the inputs, transformed as in
// the forward pass, times those of the gradient by the outputs, are sums for each of the n x n
// points (transposed_product), which are transformed back once to r x r taps.
#include "kernels.hpp"
#include "winograd_transforms.hpp"

#include <algorithm>

namespace decaf
{
  namespace
  {
    template <class Work>
    void with_size(Index m, Index r, Work work)
    {
      if (m == 4 && r == 3)
        work(Winograd_4_3{});
      else if (m == 5 && r == 3)
        work(Winograd_5_3{});
      else if (m == 4 && r == 5)
        work(Winograd_4_5{});
    }

    // body(ch, zero) for all channels, where vectors may overlap: results must not be added.
    template <class Body>
    void over_channels_again(Index channels, Body body)
    {
      Index ch = 0;
      for (; ch + LANES <= channels; ch += LANES)
        body(ch, Vector{});
      if (ch < channels && channels >= LANES)
        body(channels - LANES, Vector{});
      else
        for (; ch < channels; ++ch)
          body(ch, 0.0f);
    }
  } // namespace

  // gradient (h, w, f), tiles (n * n, >= start + rows * columns, f): `rows` rows of tiles from
  // `first` on. The last ones of a row or a column end with the map, as those of the inputs do:
  // what the tiles before them hold already is 0 there, so that nothing counts twice.
  void winograd_output_gradient(Input<3> gradient, Index m, Index r, Index first, Index rows,
                                Index start, Output<3> tiles)
  {
    with_size(m, r, [=](auto size) {
      constexpr int M = decltype(size)::M;
      Index const height = gradient.size[0], width = gradient.size[1];
      Index const columns = (width + M - 1) / M;
      Index const row_step = gradient.step[0], step = gradient.step[1];
      for (Index row = first; row < first + rows; ++row)
        for (Index column = 0; column < columns; ++column) {
          Index const y = std::min(row * M, height - M), above = row * M - y;
          Index const u = std::min(column * M, width - M), before = column * M - u;
          float const *from = gradient.at(y, u);
          float *to = tiles.at(0, start + (row - first) * columns + column);
          over_channels_again(gradient.size[2], [=](Index ch, auto zero) {
            using V = decltype(zero);
            constexpr Index WIDTH = sizeof(V) / 4;
            auto const put = [](float *place, V value) { store(place, value); };
            if (above == 0 && before == 0) {
              size.template output_gradient<V>(from + ch, row_step, step, to + ch, tiles.step[0],
                                               put);
            } else {
              float part[M * M * WIDTH];
              for (Index i = 0; i < M; ++i)
                for (Index j = 0; j < M; ++j) {
                  V const value = load<V>(from + i * row_step + j * step + ch);
                  store(part + (i * M + j) * WIDTH, i < above || j < before ? zero : value);
                }
              size.template output_gradient<V>(part, M * WIDTH, WIDTH, to + ch, tiles.step[0],
                                               put);
            }
          });
        }
    });
  }

  // products (n * n, c, f), out (r, r, c, f)
  void winograd_kernel_gradient(Input<3> products, Index m, Index r, Output<4> out,
                                Index accumulate)
  {
    with_size(m, r, [=](auto size) {
      for (Index c = 0; c < out.size[2]; ++c)
        over_channels(out.size[3], [=](Index ch, auto zero) {
          using V = decltype(zero);
          size.template kernel_gradient<V>(
              out.at(0, 0, c) + ch, out.step[0], out.step[1], products.at(0, c) + ch,
              products.step[0], [=](float *place, V value) {
                store(place, accumulate ? load<V>(place) + value : value);
              });
        });
    });
  }

  // kernel (r, r, c, f), out (n * n, c, f)
  void winograd_kernel(Input<4> kernel, Index m, Index r, Output<3> out)
  {
    with_size(m, r, [=](auto size) {
      for (Index c = 0; c < kernel.size[2]; ++c)
        over_channels_again(kernel.size[3], [=](Index ch, auto zero) {
          using V = decltype(zero);
          size.template kernel<V>(kernel.at(0, 0, c) + ch, kernel.step[0], kernel.step[1],
                                  out.at(0, c) + ch, out.step[0],
                                  [](float *place, V value) { store(place, value); });
        });
    });
  }
} // namespace decaf
