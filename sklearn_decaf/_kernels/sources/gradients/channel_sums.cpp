// Sums of gradients over the positions of a map, a number a channel: gradients of biases, scales
// and slopes. Each row is summed by itself, then the rows are added: many small numbers are lost in
// one long sum.
#include "kernels.hpp"

namespace decaf
{
  namespace
  {
    // value(y, u, ch, zero) is added up over all positions, for vectors of channels; zero says of
    // which type.
    template <class Value>
    void sum_positions(Index rows, Index columns, Output<1> sums, Index accumulate, Value value)
    {
      over_channels(sums.size[0], [&](Index ch, auto zero) {
        auto total = accumulate ? load<decltype(zero)>(sums.first + ch) : zero;
        for (Index y = 0; y < rows; ++y) {
          auto sum = zero;
          for (Index u = 0; u < columns; ++u)
            sum += value(y, u, ch, zero);
          total += sum;
        }
        store(sums.first + ch, total);
      });
    }

    // the gradient where low < value < high, else 0
    inline float masked(float gradient, float value, float low, float high)
    {
      return value > low && value < high ? gradient : 0;
    }

    template <class V>
    V masked(V gradient, V value, float low, float high)
    {
      auto const inside = (value > V{} + low) & (value < V{} + high);
      return (V)((decltype(inside))gradient & inside);
    }

    // the gradient where the value is larger than 0, else 0
    inline float positive(float gradient, float value)
    {
      return value > 0 ? gradient : 0;
    }

    template <class V>
    V positive(V gradient, V value)
    {
      auto const above = value > V{};
      return (V)((decltype(above))gradient & above);
    }
  } // namespace

  // gradient (h, w, c): 0 where the output of an activation is not within its bounds; sums (c,)
  void clip_gradient(Output<3> gradient, Input<3> output, float low, float high, Output<1> sums,
                     Index accumulate)
  {
    sum_positions(gradient.size[0], gradient.size[1], sums, accumulate,
                  [&](Index y, Index u, Index ch, auto zero) {
                    using V = decltype(zero);
                    float *place = gradient.at(y, u) + ch;
                    V const values = load<V>(output.at(y, u) + ch);
                    V const kept = masked(load<V>(place), values, low, high);
                    store(place, kept);
                    return kept;
                  });
  }

  // sums (c,) of a gradient (h, w, c)
  void channel_sums(Input<3> gradient, Output<1> sums, Index accumulate)
  {
    sum_positions(gradient.size[0], gradient.size[1], sums, accumulate,
                  [&](Index y, Index u, Index ch, auto zero) {
                    return load<decltype(zero)>(gradient.at(y, u) + ch);
                  });
  }

  // sums (c,) of gradient * (x - centre), both (h, w, c); centre (c,)
  void channel_products(Input<3> gradient, Input<3> x, Input<1> centre, Output<1> sums,
                        Index accumulate)
  {
    sum_positions(gradient.size[0], gradient.size[1], sums, accumulate,
                  [&](Index y, Index u, Index ch, auto zero) {
                    using V = decltype(zero);
                    V const values = load<V>(x.at(y, u) + ch) - load<V>(centre.first + ch);
                    return load<V>(gradient.at(y, u) + ch) * values;
                  });
  }

  // gradient (h, w, c): times the slope (c,) of its channel where x is not positive; sums (c,) of
  // the gradient by the slopes
  void prelu_gradient(Output<3> gradient, Input<3> x, Input<1> slope, Output<1> sums,
                      Index accumulate)
  {
    sum_positions(gradient.size[0], gradient.size[1], sums, accumulate,
                  [&](Index y, Index u, Index ch, auto zero) {
                    using V = decltype(zero);
                    float *place = gradient.at(y, u) + ch;
                    V const given = load<V>(place), value = load<V>(x.at(y, u) + ch);
                    V const below = given - positive(given, value);
                    store(place, positive(given, value) + below * load<V>(slope.first + ch));
                    return below * value;
                  });
  }
} // namespace decaf
