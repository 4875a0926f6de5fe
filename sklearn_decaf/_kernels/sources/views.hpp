// Arrays as the kernels of gradients see them, and vectors of numbers.
#pragma once

#include <cstddef>
#include <cstring>

namespace decaf
{
  using Index = std::ptrdiff_t;

  // An array with any steps, of which the last axis is contiguous.
  template <class Number, int N>
  struct View {
    Number *first;
    Index size[N];
    Index step[N]; // in numbers

    template <class... Places>
    Number *at(Places... places) const
    {
      Index const given[] = {Index(places)...};
      Number *place = first;
      for (int axis = 0; axis < int(sizeof...(places)); ++axis)
        place += given[axis] * step[axis];
      return place;
    }
  };

  template <int N>
  using Input = View<float const, N>;
  template <int N>
  using Output = View<float, N>;

#if defined(__AVX512F__)
  constexpr int LANES = 16;
#elif defined(__AVX__)
  constexpr int LANES = 8;
#else
  constexpr int LANES = 4;
#endif

  typedef float Vector __attribute__((vector_size(4 * LANES)));
  typedef float HalfVector __attribute__((vector_size(2 * LANES)));

  template <class V>
  V load(float const *place)
  {
    V value;
    std::memcpy(&value, place, sizeof value);
    return value;
  }

  template <class V>
  void store(float *place, V value)
  {
    std::memcpy(place, &value, sizeof value);
  }

  // Makes an address one register. gcc takes sums of addresses apart, and keeps every term of every
  // load of an unrolled loop in a register of its own, of which there are not enough.
  template <class Number>
  Number *whole(Number *place)
  {
    asm("" : "+r"(place));
    return place;
  }

  // body(ch, zero) for channels [ch, ch + n), where `zero` has the type of n numbers: whole vectors
  // first, half a one where 16 numbers are a vector, one number each in the end.
  template <class Body>
  void over_channels(Index channels, Body body)
  {
    Index ch = 0;
    for (; ch + LANES <= channels; ch += LANES)
      body(ch, Vector{});
    if (LANES == 16 && ch + LANES / 2 <= channels) {
      body(ch, HalfVector{});
      ch += LANES / 2;
    }
    for (; ch < channels; ++ch)
      body(ch, 0.0f);
  }
} // namespace decaf

#if defined(__clang__)
#define KERNEL_IVDEP _Pragma("clang loop vectorize(assume_safety)")
#define KERNEL_UNROLL _Pragma("clang loop unroll(full)")
#else
#define KERNEL_IVDEP _Pragma("GCC ivdep")
#define KERNEL_UNROLL _Pragma("GCC unroll 16")
#endif
