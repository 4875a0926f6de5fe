// Depthwise convolutions with the windows that networks have: several neighbouring outputs at a
// time, for one vector of channels. Their sums stay in registers, and each number of the map is
// loaded once for all of them; several sums are needed for speed too, since each waits for its last
// multiply-add.
//
// Sums begin at the bias and go over the taps in order, as in `depthwise.py`, so that all kernels
// give the same bits. The last outputs of a row end with it, so some may be computed twice.
#define PY_SSIZE_T_CLEAN
#include "bind_function.hpp"

#include <algorithm>

namespace decaf
{
  namespace
  {
    constexpr Index CACHE = 8192; // numbers that a level 1 cache of 32 KB holds

    // x: the first tap of the first output, `row` and `column` numbers from its neighbours
    template <class V, int SIZE, int STRIDE, int OUTPUTS>
    inline void outputs(float const *x, Index row, Index column, float const *kernel,
                        Index kernel_row, Index kernel_column, V bias, float low, float high,
                        float *out, Index out_column)
    {
      V sums[OUTPUTS];
      KERNEL_UNROLL
      for (int o = 0; o < OUTPUTS; ++o)
        sums[o] = bias;
      KERNEL_UNROLL
      for (int i = 0; i < SIZE; ++i) {
        V weights[SIZE];
        float const *tap = whole(kernel + i * kernel_row);
        KERNEL_UNROLL
        for (int j = 0; j < SIZE; ++j) {
          weights[j] = load<V>(tap);
          tap = whole(tap + kernel_column);
        }
        float const *place = whole(x + i * row);
        KERNEL_UNROLL
        for (int at = 0; at < (OUTPUTS - 1) * STRIDE + SIZE; ++at) {
          V const value = load<V>(place);
          place = whole(place + column);
          KERNEL_UNROLL
          for (int j = 0; j < SIZE; ++j)
            if (at >= j && (at - j) % STRIDE == 0 && (at - j) / STRIDE < OUTPUTS)
              sums[(at - j) / STRIDE] += weights[j] * value;
        }
      }
      V const lowest = V{} + low, highest = V{} + high;
      KERNEL_UNROLL
      for (int o = 0; o < OUTPUTS; ++o) {
        V value = sums[o];
        value = value < lowest ? lowest : value; // keeps a NaN
        store(out, V(value > highest ? highest : value));
        out = whole(out + out_column);
      }
    }

    template <int SIZE, int STRIDE, int OUTPUTS>
    void convolve(Input<3> x, Input<3> kernel, Input<1> bias, float low, float high, Output<3> out)
    {
      Index const rows = out.size[0], columns = out.size[1], channels = out.size[2];
      // of so many channels, the kernel and the map under the windows stay in the cache between rows
      constexpr Index part = CACHE / (SIZE * (SIZE + (OUTPUTS - 1) * STRIDE + SIZE)) / 16 * 16;
      for (Index first = 0; first < channels; first += part) {
        Index const end = std::min(first + part, channels);
        for (Index block = 0; block < columns; block += OUTPUTS) {
          Index const u = std::min(block, columns - OUTPUTS);
          for (Index y = 0; y < rows; ++y) {
            auto const one = [&](Index ch, auto zero) {
              using V = decltype(zero);
              outputs<V, SIZE, STRIDE, OUTPUTS>(
                  x.at(y * STRIDE, u * STRIDE) + ch, x.step[0], x.step[1], kernel.first + ch,
                  kernel.step[0], kernel.step[1], load<V>(bias.first + ch), low, high,
                  out.at(y, u) + ch, out.step[1]);
            };
            Index ch = first;
            for (; ch + LANES <= end; ch += LANES)
              one(ch, Vector{});
            if (ch < end && end >= LANES)
              one(end - LANES, Vector{});
            else
              for (; ch < end; ++ch)
                one(ch, 0.0f);
          }
        }
      }
    }

    // x (hp, wp, c), kernel (size, size, c), bias (c,), out (oh, ow >= 4, c); the caller checks that
    // there is a case for the window
    void depthwise_windows(Input<3> x, Input<3> kernel, Input<1> bias, Index stride, float low,
                           float high, Output<3> out)
    {
      Index const size = kernel.size[0], columns = out.size[1];
      // fewest operations; every block costs about 3 outputs extra
      auto const cost = [&](Index by) { return (columns + by - 1) / by * (by + 3); };
      bool const four = columns < 7 || cost(4) <= cost(7);
#define WINDOW(SIZE, STRIDE)                                                                       \
  if (size == SIZE && stride == STRIDE)                                                            \
  return four ? convolve<SIZE, STRIDE, 4>(x, kernel, bias, low, high, out)                         \
              : convolve<SIZE, STRIDE, 7>(x, kernel, bias, low, high, out)
      WINDOW(3, 1);
      WINDOW(3, 2);
      WINDOW(5, 1);
      WINDOW(5, 2);
      WINDOW(7, 1);
    }

    PyObject *bind(PyObject *, PyObject *const *given, Py_ssize_t count)
    {
      return bind_function("depthwise_windows", depthwise_windows, given, count);
    }
  } // namespace
} // namespace decaf

static PyMethodDef KERNELS[] = {
    {"depthwise_windows",
     reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(decaf::bind)), METH_FASTCALL,
     nullptr},
    {nullptr, nullptr, 0, nullptr},
};

static PyModuleDef MODULE = {PyModuleDef_HEAD_INIT,
                             "depthwise_windows",
                             "Depthwise convolutions, several outputs at a time.",
                             -1,
                             KERNELS,
                             nullptr,
                             nullptr,
                             nullptr,
                             nullptr};

PyMODINIT_FUNC PyInit_depthwise_windows()
{
  return PyModule_Create(&MODULE);
}
