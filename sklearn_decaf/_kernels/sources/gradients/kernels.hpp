// The kernels of gradients. Maps are (h, w, c), gradients of them alike; each file says more.
// With `accumulate`, what is computed is added to what is there.
#pragma once

#include "views.hpp"

namespace decaf
{
  // transposed_product.cpp
  void transposed_product(Input<5> left, Input<5> right, Output<3> out, Index accumulate);

  // channel_sums.cpp
  void clip_gradient(Output<3> gradient, Input<3> output, float low, float high, Output<1> sums,
                     Index accumulate);
  void channel_sums(Input<3> gradient, Output<1> sums, Index accumulate);
  void channel_products(Input<3> gradient, Input<3> x, Input<1> centre, Output<1> sums,
                        Index accumulate);
  void prelu_gradient(Output<3> gradient, Input<3> x, Input<1> slope, Output<1> sums,
                      Index accumulate);

  // depthwise.cpp
  void depthwise_kernel_gradient(Input<3> x, Input<3> gradient, Output<3> out, Index row_stride,
                                 Index column_stride, Index down, Index across, Index accumulate);
  void depthwise_input_gradient(Input<3> gradient, Input<3> kernel, Index row_stride,
                                Index column_stride, Index down, Index across, Index top,
                                Index left, Output<3> out);

  // winograd.cpp
  void winograd_output_gradient(Input<3> gradient, Index m, Index r, Index first, Index rows,
                                Index start, Output<3> tiles);
  void winograd_kernel_gradient(Input<3> products, Index m, Index r, Output<4> out,
                                Index accumulate);
  void winograd_kernel(Input<4> kernel, Index m, Index r, Output<3> out);

  // pools.cpp
  void max_pool_gradient(Input<3> x, Input<3> output, Input<3> gradient, Index height, Index width,
                         Index row_stride, Index column_stride, Index top, Index left,
                         Output<3> out, Index accumulate);
  void average_pool_gradient(Input<3> gradient, Index height, Index width, Index row_stride,
                             Index column_stride, Index top, Index left, Input<1> down,
                             Input<1> across, Output<3> out, Index accumulate);

  // layer_norm.cpp
  void layer_norm_gradient(Input<3> x, Input<1> scale, float epsilon, Output<3> gradient,
                           Output<1> by_scale, Output<1> by_shift, Output<2> lines,
                           Index accumulate);

  // lrn.cpp
  void lrn_gradient(Input<3> x, Input<3> gradient, Index size, float alpha, float beta, float k,
                    Output<1> squares, Output<1> shares, Output<1> powers, Output<3> out);

  // activations.cpp
  void elu_gradient(Output<3> gradient, Input<3> y, float alpha);
  void sigmoid_gradient(Output<3> gradient, Input<3> y);
  void tanh_gradient(Output<3> gradient, Input<3> y);
  void hard_sigmoid_gradient(Output<3> gradient, Input<3> y, float slope);
  void leaky_relu_gradient(Output<3> gradient, Input<3> x, float slope);
  void silu_gradient(Output<3> gradient, Input<3> x);
  void hard_swish_gradient(Output<3> gradient, Input<3> x);
  void gelu_gradient(Output<3> gradient, Input<3> x);
  void gelu_tanh_gradient(Output<3> gradient, Input<3> x);

  // solver_steps.cpp
  void sgd_step(Output<1> values, Output<1> velocity, Input<1> gradient, float rate, float momentum,
                Index nesterov);
  void adam_step(Output<1> values, Output<1> mean, Output<1> square, Input<1> gradient, float keep,
                 float rate, float beta_1, float new_1, float beta_2, float new_2, float root_scale,
                 float epsilon);
} // namespace decaf
