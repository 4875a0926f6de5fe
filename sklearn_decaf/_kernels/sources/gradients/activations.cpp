// Gradients of activation functions by their inputs: the gradient by the output, times the slope of
// the function, in place. The slope is computed from the input or from the output, as said.
// Exponentials are those of `sources/activations.py`.
#include "kernels.hpp"

#include <cmath>
#include <cstdint>

namespace decaf
{
  namespace
  {
    inline float bounded(float x, float low, float high) // NaN stays
    {
      float const raised = x < low ? low : x;
      return raised > high ? high : raised;
    }

    inline float power_of_two(float whole)
    {
      std::int32_t const bits = (static_cast<std::int32_t>(whole) + 127) * (1 << 23);
      float power;
      std::memcpy(&power, &bits, sizeof power);
      return power;
    }

    // exp(x) for x in [-87, 88]
    inline float exponential(float x)
    {
      float const rounder = 12582912.0f; // 1.5 * 2^23: adding it rounds to integers
      float const whole = (x * 1.44269504f + rounder) - rounder;
      float const rest = x - whole * 0.693359375f - whole * -2.12194440e-4f;
      float series = 1.9875691500e-4f * rest + 1.3981999507e-3f;
      series = series * rest + 8.3334519073e-3f;
      series = series * rest + 4.1665795894e-2f;
      series = series * rest + 1.6666665459e-1f;
      series = series * rest + 5.0000001201e-1f;
      series = series * rest * rest + rest + 1;
      return power_of_two(whole) * series;
    }

    // 1 / (1 + exp(-x)), and 1 minus that, without cancellation
    struct Shares {
      float share, rest;
      explicit Shares(float x)
      {
        float const power = exponential(bounded(-x, -87, 88));
        share = 1 / (1 + power);
        rest = power * share;
      }
    };

    // P(X <= x) of a standard normal X: Abramowitz and Stegun 1964, 7.1.26
    inline float normal(float x, float density_ratio)
    {
      float const size = std::fabs(x) * 0.70710678f;
      float const t = 1 / (1 + 0.3275911f * size);
      float series = 1.061405429f * t + -1.453152027f;
      series = series * t + 1.421413741f;
      series = series * t + -0.284496736f;
      series = series * t + 0.254829592f;
      float const tail = 0.5f * series * t * density_ratio;
      return x > 0 ? 1 - tail : tail;
    }

    template <class Slope>
    void multiply(Output<3> gradient, Input<3> values, Slope slope)
    {
      for (Index y = 0; y < gradient.size[0]; ++y)
        for (Index u = 0; u < gradient.size[1]; ++u) {
          float *place = gradient.at(y, u);
          float const *value = values.at(y, u);
          KERNEL_IVDEP for (Index ch = 0; ch < gradient.size[2]; ++ch)
            place[ch] *= slope(value[ch]);
        }
    }
  } // namespace

  // By the output y -------------------------------------------------------------------------------

  void elu_gradient(Output<3> gradient, Input<3> y, float alpha)
  {
    multiply(gradient, y, [=](float value) { return value > 0 ? 1.0f : value + alpha; });
  }

  void sigmoid_gradient(Output<3> gradient, Input<3> y)
  {
    multiply(gradient, y, [](float value) { return value * (1 - value); });
  }

  void tanh_gradient(Output<3> gradient, Input<3> y)
  {
    multiply(gradient, y, [](float value) { return 1 - value * value; });
  }

  void hard_sigmoid_gradient(Output<3> gradient, Input<3> y, float slope)
  {
    multiply(gradient, y, [=](float value) { return value > 0 && value < 1 ? slope : 0.0f; });
  }

  // By the input x --------------------------------------------------------------------------------

  void leaky_relu_gradient(Output<3> gradient, Input<3> x, float slope)
  {
    multiply(gradient, x, [=](float value) { return value > 0 ? 1.0f : slope; });
  }

  void silu_gradient(Output<3> gradient, Input<3> x)
  {
    multiply(gradient, x, [](float value) {
      Shares const of(value);
      // beyond these the slope is 0 or 1, and 0 times infinity would be no number
      return of.share * (1 + bounded(value, -88, 88) * of.rest);
    });
  }

  void hard_swish_gradient(Output<3> gradient, Input<3> x)
  {
    multiply(gradient, x, [](float value) {
      float const slope = value * 0.33333333f + 0.5f;
      return value <= -3 ? 0.0f : value < 3 ? slope : 1.0f;
    });
  }

  void gelu_gradient(Output<3> gradient, Input<3> x)
  {
    multiply(gradient, x, [](float given) {
      float const value = bounded(given, -13, 13); // exp(-x^2 / 2) is 0 beyond
      float const ratio = exponential(-0.5f * value * value);
      return normal(value, ratio) + value * (0.39894228f * ratio);
    });
  }

  void gelu_tanh_gradient(Output<3> gradient, Input<3> x)
  {
    multiply(gradient, x, [](float given) {
      // x * sigmoid(2 u), u = sqrt(2 / pi) * (x + 0.044715 x^3)
      float const value = bounded(given, -13, 13);
      float const square = value * value;
      Shares const of(1.5957691f * value * (1 + 0.044715f * square));
      float const slope = 1.5957691f * (1 + 0.134145f * square);
      return of.share * (1 + value * of.rest * slope);
    });
  }
} // namespace decaf
