// The gradient of layer normalisation, y = n * scale + shift with n = (x - mean) / deviation over
// the channels of each position. What would move all channels alike, or stretch them, is normalised
// away: (s - mean of s - n * mean of s n) / deviation, with s = gradient * scale.
#include "kernels.hpp"

#include <cmath>

namespace decaf
{
  namespace
  {
    // The sum of value(ch, zero) over all channels: lane by lane, then all lanes in order.
    template <class Value>
    float sum_channels(Index channels, Value value)
    {
      Vector lanes{};
      float total = 0;
      Index ch = 0;
      for (; ch + LANES <= channels; ch += LANES)
        lanes += value(ch, Vector{});
      for (; ch < channels; ++ch)
        total += value(ch, 0.0f);
      for (int lane = 0; lane < LANES; ++lane)
        total += lanes[lane];
      return total;
    }
  } // namespace

  // x (h, w, c); gradient (h, w, c), changed in place; scale (c,); by_scale and by_shift (c,): sums
  // over the positions; lines (2, c): scratch for those of a row
  void layer_norm_gradient(Input<3> x, Input<1> scale, float epsilon, Output<3> gradient,
                           Output<1> by_scale, Output<1> by_shift, Output<2> lines,
                           Index accumulate)
  {
    Index const channels = x.size[2];
    float *scales = lines.at(0), *shifts = lines.at(1);
    for (Index y = 0; y < x.size[0]; ++y) {
      std::memset(scales, 0, 4 * channels);
      std::memset(shifts, 0, 4 * channels);
      for (Index u = 0; u < x.size[1]; ++u) {
        float const *from = x.at(y, u);
        float *place = gradient.at(y, u);
        float const mean = sum_channels(channels, [=](Index ch, auto zero) {
          return load<decltype(zero)>(from + ch);
        }) / float(channels);
        float const variance = sum_channels(channels, [=](Index ch, auto zero) {
          auto const centred = load<decltype(zero)>(from + ch) - mean;
          return centred * centred;
        }) / float(channels);
        float const inverse = 1 / std::sqrt(variance + epsilon);
        auto const normal = [=](Index ch, auto zero) {
          return (load<decltype(zero)>(from + ch) - mean) * inverse;
        };
        auto const scaled = [=](Index ch, auto zero) {
          using V = decltype(zero);
          return load<V>(place + ch) * load<V>(scale.first + ch);
        };
        float const along = sum_channels(channels, scaled) / float(channels);
        float const across = sum_channels(channels, [=](Index ch, auto zero) {
          return scaled(ch, zero) * normal(ch, zero);
        }) / float(channels);
        over_channels(channels, [=](Index ch, auto zero) {
          using V = decltype(zero);
          V const given = load<V>(place + ch), n = normal(ch, zero);
          store(scales + ch, load<V>(scales + ch) + given * n);
          store(shifts + ch, load<V>(shifts + ch) + given);
          store(place + ch, (scaled(ch, zero) - along - n * across) * inverse);
        });
      }
      bool const add = accumulate || y > 0;
      KERNEL_IVDEP for (Index ch = 0; ch < channels; ++ch) {
        by_scale.first[ch] = add ? by_scale.first[ch] + scales[ch] : scales[ch];
        by_shift.first[ch] = add ? by_shift.first[ch] + shifts[ch] : shifts[ch];
      }
    }
  }
} // namespace decaf
