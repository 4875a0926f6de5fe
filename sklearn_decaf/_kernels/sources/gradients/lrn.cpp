// The gradient of local response normalisation, y = x / s^beta with s = k + alpha / size * sum of
// x^2 over the channels around each: gradient / s^beta - 2 alpha beta / size * x * t, where t sums
// gradient * x / s^(beta + 1) over the same channels. What a channel is normalised by is computed
// again.
#include "kernels.hpp"

#include <cmath>

namespace decaf
{
  // x, gradient and out (h, w, c); squares and shares (c + size - 1,): scratch with zeros in the
  // first and the last size / 2 places; powers (c,): scratch; size is odd
  void lrn_gradient(Input<3> x, Input<3> gradient, Index size, float alpha, float beta, float k,
                    Output<1> squares, Output<1> shares, Output<1> powers, Output<3> out)
  {
    Index const channels = x.size[2], half = size / 2;
    float const share = alpha / float(size), factor = -2 * share * beta;
    float *square = squares.first, *part = shares.first, *power = powers.first;
    for (Index y = 0; y < x.size[0]; ++y)
      for (Index u = 0; u < x.size[1]; ++u) {
        float const *from = x.at(y, u), *by_output = gradient.at(y, u);
        float *to = out.at(y, u);
        auto const sum = [size](float const *line, Index ch) {
          if (size == 5)
            return line[ch] + line[ch + 1] + line[ch + 2] + line[ch + 3] + line[ch + 4];
          float total = 0;
          for (Index tap = 0; tap < size; ++tap)
            total += line[ch + tap];
          return total;
        };
        KERNEL_IVDEP for (Index ch = 0; ch < channels; ++ch)
          square[ch + half] = from[ch] * from[ch];
        if (size == 5 && beta == 0.75f) {
          KERNEL_IVDEP for (Index ch = 0; ch < channels; ++ch) {
            float const base = k + share * (square[ch] + square[ch + 1] + square[ch + 2] +
                                            square[ch + 3] + square[ch + 4]);
            float const root = std::sqrt(base); // base^0.75 = root * sqrt(root)
            float const inverse = 1 / (root * std::sqrt(root) * base);
            power[ch] = inverse * base;
            part[ch + 2] = by_output[ch] * from[ch] * inverse;
          }
        } else {
          for (Index ch = 0; ch < channels; ++ch) {
            float const base = k + share * sum(square, ch);
            power[ch] = std::pow(base, -beta);
            part[ch + half] = by_output[ch] * from[ch] * power[ch] / base;
          }
        }
        if (size == 5) {
          KERNEL_IVDEP for (Index ch = 0; ch < channels; ++ch) {
            float const total =
                part[ch] + part[ch + 1] + part[ch + 2] + part[ch + 3] + part[ch + 4];
            to[ch] = by_output[ch] * power[ch] + factor * from[ch] * total;
          }
        } else {
          for (Index ch = 0; ch < channels; ++ch)
            to[ch] = by_output[ch] * power[ch] + factor * from[ch] * sum(part, ch);
        }
      }
  }
} // namespace decaf
