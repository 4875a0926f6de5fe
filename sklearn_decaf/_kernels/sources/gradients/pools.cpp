// Gradients of pooling by its input. Windows are as in pool.py: `top` rows and `left` columns of
// the first ones lie before the map, and the last ones may stick out of it.
#include "kernels.hpp"

#include <algorithm>

namespace decaf
{
  namespace
  {
    // The largest value of a window: NaN where there is one.
    inline bool is_largest(float value, float largest)
    {
      return value == largest || value != value;
    }

    template <class V>
    auto is_largest(V value, V largest)
    {
      return (value == largest) | (value != value);
    }

    // Add the gradient where `here`, and take it away there: it goes to one place only.
    inline void give(bool here, float *place, float &gradient)
    {
      *place += here ? gradient : 0;
      gradient = here ? 0 : gradient;
    }

    template <class V, class Mask>
    void give(Mask here, float *place, V &gradient)
    {
      store(place, load<V>(place) + (V)((Mask)gradient & here));
      gradient = (V)((Mask)gradient & ~here);
    }

    void fill_with_zeros(Output<3> out)
    {
      for (Index y = 0; y < out.size[0]; ++y)
        for (Index u = 0; u < out.size[1]; ++u)
          std::fill_n(out.at(y, u), out.size[2], 0.0f);
    }

    struct Range {
      Index first, end;
    };

    // The places of window number `index` that are inside a map of so many rows or columns.
    Range inside(Index index, Index stride, Index before, Index window, Index length)
    {
      Index const first = index * stride - before;
      return {std::max<Index>(first, 0), std::min(first + window, length)};
    }
  } // namespace

  // x, out (h, w, c); output, gradient (oh, ow, c): each gradient goes to the first of the largest
  // values of its window, which is found by comparing again
  void max_pool_gradient(Input<3> x, Input<3> output, Input<3> gradient, Index height, Index width,
                         Index row_stride, Index column_stride, Index top, Index left,
                         Output<3> out, Index accumulate)
  {
    if (!accumulate)
      fill_with_zeros(out);
    for (Index y = 0; y < gradient.size[0]; ++y) {
      Range const rows = inside(y, row_stride, top, height, x.size[0]);
      for (Index u = 0; u < gradient.size[1]; ++u) {
        Range const columns = inside(u, column_stride, left, width, x.size[1]);
        over_channels(x.size[2], [=](Index ch, auto zero) {
          using V = decltype(zero);
          V const largest = load<V>(output.at(y, u) + ch);
          V rest = load<V>(gradient.at(y, u) + ch);
          for (Index row = rows.first; row < rows.end; ++row)
            for (Index column = columns.first; column < columns.end; ++column) {
              V const value = load<V>(x.at(row, column) + ch);
              give(is_largest(value, largest), out.at(row, column) + ch, rest);
            }
        });
      }
    }
  }

  // gradient (oh, ow, c), out (h, w, c); down (oh,) and across (ow,): how many rows and columns of
  // each window count
  void average_pool_gradient(Input<3> gradient, Index height, Index width, Index row_stride,
                             Index column_stride, Index top, Index left, Input<1> down,
                             Input<1> across, Output<3> out, Index accumulate)
  {
    if (!accumulate)
      fill_with_zeros(out);
    for (Index y = 0; y < gradient.size[0]; ++y) {
      Range const rows = inside(y, row_stride, top, height, out.size[0]);
      for (Index u = 0; u < gradient.size[1]; ++u) {
        Range const columns = inside(u, column_stride, left, width, out.size[1]);
        float const count = *down.at(y) * *across.at(u);
        over_channels(out.size[2], [=](Index ch, auto zero) {
          using V = decltype(zero);
          V const share = load<V>(gradient.at(y, u) + ch) / count;
          for (Index row = rows.first; row < rows.end; ++row)
            for (Index column = columns.first; column < columns.end; ++column) {
              float *place = out.at(row, column) + ch;
              store(place, load<V>(place) + share);
            }
        });
      }
    }
  }
} // namespace decaf
