// Steps of solvers, each number read and written once: NumPy goes over all arrays for every
// operation.
#include "kernels.hpp"

#include <cmath>

namespace decaf
{
  // velocity = momentum * velocity + gradient; values -= rate * velocity, or, with nesterov,
  // rate * (gradient + momentum * velocity)
  void sgd_step(Output<1> values, Output<1> velocity, Input<1> gradient, float rate, float momentum,
                Index nesterov)
  {
    float *value = values.first, *speed = velocity.first;
    float const *slope = gradient.first;
    Index const n = values.size[0];
    if (nesterov) {
      KERNEL_IVDEP for (Index i = 0; i < n; ++i) {
        speed[i] = momentum * speed[i] + slope[i];
        value[i] -= rate * (slope[i] + momentum * speed[i]);
      }
    } else {
      KERNEL_IVDEP for (Index i = 0; i < n; ++i) {
        speed[i] = momentum * speed[i] + slope[i];
        value[i] -= rate * speed[i];
      }
    }
  }

  // values are multiplied by `keep` first; mean and square are what is remembered of gradients and
  // their squares, `beta` of the old and `new` of the new: 1 - beta, before it was rounded; rate and
  // root_scale hold the corrections for both having begun at 0
  void adam_step(Output<1> values, Output<1> mean, Output<1> square, Input<1> gradient, float keep,
                 float rate, float beta_1, float new_1, float beta_2, float new_2, float root_scale,
                 float epsilon)
  {
    float *value = values.first, *first = mean.first, *second = square.first;
    float const *slope = gradient.first;
    Index const n = values.size[0];
    KERNEL_IVDEP for (Index i = 0; i < n; ++i) {
      float const g = slope[i];
      float const m = beta_1 * first[i] + new_1 * g;
      float const s = beta_2 * second[i] + new_2 * (g * g);
      first[i] = m;
      second[i] = s;
      value[i] = keep * value[i] - rate * (m / (std::sqrt(s) * root_scale + epsilon));
    }
  }
} // namespace decaf
