// Gradients of depthwise convolutions, by their kernels and by their inputs.
#include "kernels.hpp"

#include <algorithm>

namespace decaf
{
  namespace
  {
    // By kernels -----------------------------------------------------------------------------------

    // The sums of some rows of a kernel that stay in registers together, with COLUMNS gradients.
#if defined(__AVX512F__) || defined(__aarch64__) // 32 registers
    constexpr int rows_at_once(int size)
    {
      return size <= 5 ? size : 3;
    }
#else
    constexpr int rows_at_once(int size)
    {
      return size == 3 ? 3 : size == 5 ? 2 : 1;
    }
#endif
    constexpr int COLUMNS = 4;
    constexpr Index CACHE = 65536; // numbers of a map that are gone over again and again

    // Rows [tap, tap + ROWS) of a kernel, for LANES channels from ch on, summed over rows
    // [first, end) of the gradient; sums (SIZE, SIZE, LANES).
    template <int SIZE, int STRIDE, int ROWS>
    void sum_taps(Input<3> const &x, Input<3> const &gradient, Index first, Index end, int tap,
                  Index ch, float *sums)
    {
      Vector total[ROWS][SIZE] = {};
      Index const step = x.step[1], columns = gradient.size[1];
      for (Index y = first; y < end; ++y) {
        float const *from = gradient.at(y) + ch;
        float const *windows = x.at(y * STRIDE + tap) + ch;
        Index u = 0;
        for (; u + COLUMNS <= columns; u += COLUMNS) {
          Vector values[COLUMNS];
          float const *place = from + u * gradient.step[1];
          KERNEL_UNROLL for (int k = 0; k < COLUMNS; ++k) {
            values[k] = load<Vector>(place);
            place = whole(place + gradient.step[1]);
          }
          KERNEL_UNROLL for (int i = 0; i < ROWS; ++i) {
            place = whole(windows + i * x.step[0] + u * STRIDE * step);
            KERNEL_UNROLL for (int q = 0; q < (COLUMNS - 1) * STRIDE + SIZE; ++q) {
              Vector const pixel = load<Vector>(place);
              place = whole(place + step);
              KERNEL_UNROLL for (int j = 0; j < SIZE; ++j)
                if (q >= j && (q - j) % STRIDE == 0 && (q - j) / STRIDE < COLUMNS)
                  total[i][j] += pixel * values[(q - j) / STRIDE];
            }
          }
        }
        for (; u < columns; ++u) {
          Vector const value = load<Vector>(from + u * gradient.step[1]);
          KERNEL_UNROLL for (int i = 0; i < ROWS; ++i) {
            float const *place = whole(windows + i * x.step[0] + u * STRIDE * step);
            KERNEL_UNROLL for (int j = 0; j < SIZE; ++j) {
              total[i][j] += value * load<Vector>(place);
              place = whole(place + step);
            }
          }
        }
      }
      KERNEL_UNROLL for (int i = 0; i < ROWS; ++i)
        KERNEL_UNROLL for (int j = 0; j < SIZE; ++j)
          store(sums + ((tap + i) * SIZE + j) * LANES, total[i][j]);
    }

    // Bands of rows that fit the cache, one after another; the last channels of a map that is no
    // multiple of a vector are summed with some that are summed already.
    template <int SIZE, int STRIDE>
    void sum_kernel(Input<3> x, Input<3> gradient, Output<3> out, Index accumulate)
    {
      constexpr int ROWS = rows_at_once(SIZE), REST = SIZE % ROWS;
      Index const channels = out.size[2], rows = gradient.size[0];
      Index const of_row = (STRIDE * x.size[1] + gradient.size[1]) * channels;
      Index const band = std::max<Index>(CACHE / of_row, 1);
      bool add = accumulate != 0;
      for (Index y = 0; y < rows; y += band, add = true)
        for (Index first = 0; first < channels; first += LANES) {
          Index const ch = std::min<Index>(first, channels - LANES), end = std::min(y + band, rows);
          float sums[SIZE * SIZE * LANES];
          for (int tap = 0; tap + ROWS <= SIZE; tap += ROWS)
            sum_taps<SIZE, STRIDE, ROWS>(x, gradient, y, end, tap, ch, sums);
          if constexpr (REST > 0)
            sum_taps<SIZE, STRIDE, REST>(x, gradient, y, end, SIZE - REST, ch, sums);
          for (int i = 0; i < SIZE; ++i)
            for (int j = 0; j < SIZE; ++j) {
              float *place = out.at(i, j) + ch;
              float const *sum = sums + (i * SIZE + j) * LANES;
              if (ch == first) {
                Vector const total = load<Vector>(sum);
                store(place, add ? load<Vector>(place) + total : total);
              } else {
                for (Index lane = first - ch; lane < LANES; ++lane)
                  place[lane] = add ? place[lane] + sum[lane] : sum[lane];
              }
            }
        }
    }

    // Any sizes, steps and dilation, slowly.
    void sum_any(Input<3> x, Input<3> gradient, Output<3> out, Index row_stride,
                 Index column_stride, Index down, Index across, Index accumulate)
    {
      for (Index i = 0; i < out.size[0]; ++i)
        for (Index j = 0; j < out.size[1]; ++j)
          over_channels(out.size[2], [&](Index ch, auto zero) {
            using V = decltype(zero);
            V total = accumulate ? load<V>(out.at(i, j) + ch) : zero;
            for (Index y = 0; y < gradient.size[0]; ++y) {
              V sum = zero;
              for (Index u = 0; u < gradient.size[1]; ++u) {
                float const *pixel =
                    x.at(y * row_stride + i * down, u * column_stride + j * across);
                sum += load<V>(pixel + ch) * load<V>(gradient.at(y, u) + ch);
              }
              total += sum;
            }
            store(out.at(i, j) + ch, total);
          });
    }

    // By inputs ------------------------------------------------------------------------------------

    constexpr Index MOST_ROWS = 16; // of a kernel
    constexpr Index MOST_TAPS = 4;  // in a row of it that meet a pixel

    // A row of the gradient, and the row of the kernel that carries it to the row of the input.
    struct Source {
      float const *gradient;
      float const *kernel;
    };

    // OUTPUTS values from `out` on, each a sum over TAPS taps of each source. The first value takes
    // its first tap times the gradient at `column`, its next one times the one before, and so on;
    // with CHECK, what lies beyond the gradient's `columns` is 0, and only `count` values are
    // stored.
    template <class V, int TAPS, int OUTPUTS, bool CHECK>
    void gather(Source const *sources, Index n_sources, Index column, Index columns, Index count,
                Index gradient_step, Index kernel_step, float *out, Index out_step)
    {
      V sums[OUTPUTS] = {};
      Index const from = column - (TAPS - 1);
      for (Index s = 0; s < n_sources; ++s) {
        V weights[TAPS];
        KERNEL_UNROLL for (int e = 0; e < TAPS; ++e)
          weights[e] = load<V>(sources[s].kernel + e * kernel_step);
        float const *next = sources[s].gradient + from * gradient_step;
        KERNEL_UNROLL for (int q = 0; q < OUTPUTS + TAPS - 1; ++q) {
          float const *place = next;
          next = whole(next + gradient_step);
          if (CHECK && (from + q < 0 || from + q >= columns))
            continue;
          V const value = load<V>(place);
          KERNEL_UNROLL for (int e = 0; e < TAPS; ++e)
            if (q - (TAPS - 1) + e >= 0 && q - (TAPS - 1) + e < OUTPUTS)
              sums[q - (TAPS - 1) + e] += weights[e] * value;
        }
      }
      KERNEL_UNROLL for (int o = 0; o < OUTPUTS; ++o) {
        if (!CHECK || o < count)
          store(out, sums[o]);
        out = whole(out + out_step);
      }
    }

    // `count` values of one row and phase.
    template <class V, int TAPS>
    void gather_row(Source const *sources, Index n_sources, Index shift, Index columns, Index count,
                    Index gradient_step, Index kernel_step, float *out, Index out_step)
    {
      constexpr int OUTPUTS = 8;
      for (Index b = 0; b < count; b += OUTPUTS) {
        bool const inside = b + shift - (TAPS - 1) >= 0 && b + shift + OUTPUTS <= columns &&
                            b + OUTPUTS <= count;
        auto const run = inside ? gather<V, TAPS, OUTPUTS, false> : gather<V, TAPS, OUTPUTS, true>;
        run(sources, n_sources, b + shift, columns, count - b, gradient_step, kernel_step,
            out + b * out_step, out_step);
      }
    }

    // LANES channels, or one: those of V, of one row of the input's gradient.
    template <class V>
    void input_row(Source const *sources, Index n_sources, Input<3> const &gradient,
                   Input<3> const &kernel, Index stride, Index left, float *out, Index width,
                   Index out_step)
    {
      Index const columns = gradient.size[1], size = kernel.size[1];
      Index const step = gradient.step[1], kernel_step = stride * kernel.step[1];
      for (Index phase = 0; phase < std::min(stride, width); ++phase) {
        // u = phase + stride * b is met by taps j0, j0 + stride, ...: their gradients are at
        // b + shift, b + shift - 1, ...
        Index const j0 = (phase + left) % stride, shift = (phase + left) / stride;
        Index const taps = j0 < size ? (size - j0 + stride - 1) / stride : 0;
        Index const count = (width - phase + stride - 1) / stride;
        Source from[MOST_ROWS];
        for (Index s = 0; s < n_sources; ++s)
          from[s] = {sources[s].gradient, sources[s].kernel + j0 * kernel.step[1]};
        float *to = out + phase * out_step;
        auto const run = taps == 1   ? gather_row<V, 1>
                         : taps == 2 ? gather_row<V, 2>
                         : taps == 3 ? gather_row<V, 3>
                                     : gather_row<V, 4>;
        if (taps > 0)
          run(from, n_sources, shift, columns, count, step, kernel_step, to, stride * out_step);
        else
          for (Index b = 0; b < count; ++b)
            store(to + b * stride * out_step, V{});
      }
    }

    // With dilation, or many taps: every tap by itself.
    void input_any(Input<3> gradient, Input<3> kernel, Index row_stride, Index column_stride,
                   Index down, Index across, Index top, Index left, Output<3> out)
    {
      for (Index y = 0; y < out.size[0]; ++y)
        for (Index u = 0; u < out.size[1]; ++u)
          over_channels(out.size[2], [&](Index ch, auto zero) {
            using V = decltype(zero);
            V sum = zero;
            for (Index i = 0; i < kernel.size[0]; ++i)
              for (Index j = 0; j < kernel.size[1]; ++j) {
                Index const row = y + top - i * down, column = u + left - j * across;
                if (row >= 0 && row % row_stride == 0 && row / row_stride < gradient.size[0] &&
                    column >= 0 && column % column_stride == 0 &&
                    column / column_stride < gradient.size[1])
                  sum += load<V>(kernel.at(i, j) + ch) *
                         load<V>(gradient.at(row / row_stride, column / column_stride) + ch);
              }
            store(out.at(y, u) + ch, sum);
          });
    }
  } // namespace

  // x (hp, wp, c) with its border, gradient (oh, ow, c), out (kh, kw, c)
  void depthwise_kernel_gradient(Input<3> x, Input<3> gradient, Output<3> out, Index row_stride,
                                 Index column_stride, Index down, Index across, Index accumulate)
  {
    Index const size = out.size[0], stride = row_stride;
    bool const plain = out.size[1] == size && column_stride == stride && down == 1 && across == 1;
    if (plain && out.size[2] >= LANES) {
      if (size == 3 && stride == 1)
        return sum_kernel<3, 1>(x, gradient, out, accumulate);
      if (size == 3 && stride == 2)
        return sum_kernel<3, 2>(x, gradient, out, accumulate);
      if (size == 5 && stride == 1)
        return sum_kernel<5, 1>(x, gradient, out, accumulate);
      if (size == 5 && stride == 2)
        return sum_kernel<5, 2>(x, gradient, out, accumulate);
      if (size == 7 && stride == 1)
        return sum_kernel<7, 1>(x, gradient, out, accumulate);
    }
    sum_any(x, gradient, out, row_stride, column_stride, down, across, accumulate);
  }

  // gradient (oh, ow, c), kernel (kh, kw, c), out (h, w, c): the map without its border, which has
  // `top` rows above it and `left` columns before it
  void depthwise_input_gradient(Input<3> gradient, Input<3> kernel, Index row_stride,
                                Index column_stride, Index down, Index across, Index top,
                                Index left, Output<3> out)
  {
    Index const channels = out.size[2];
    if (down != 1 || across != 1 || kernel.size[0] > MOST_ROWS ||
        kernel.size[1] > MOST_TAPS * column_stride)
      return input_any(gradient, kernel, row_stride, column_stride, down, across, top, left, out);
    for (Index y = 0; y < out.size[0]; ++y) {
      Source sources[MOST_ROWS];
      Index n_sources = 0;
      for (Index i = (y + top) % row_stride; i < kernel.size[0]; i += row_stride) {
        Index const row = (y + top - i) / row_stride;
        if (y + top >= i && row < gradient.size[0])
          sources[n_sources++] = {gradient.at(row), kernel.at(i)};
      }
      auto const part = [&](Index ch, auto zero) {
        Source from[MOST_ROWS];
        for (Index s = 0; s < n_sources; ++s)
          from[s] = {sources[s].gradient + ch, sources[s].kernel + ch};
        input_row<decltype(zero)>(from, n_sources, gradient, kernel, column_stride, left,
                                  out.at(y) + ch, out.size[1], out.step[1]);
      };
      Index ch = 0;
      for (; ch + LANES <= channels; ch += LANES)
        part(ch, Vector{});
      if (ch < channels && channels >= LANES) // with some channels that are there already
        part(channels - LANES, Vector{});
      else
        for (; ch < channels; ++ch)
          part(ch, 0.0f);
    }
  }
} // namespace decaf
