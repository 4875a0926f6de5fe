// The module: each function binds a kernel to its arguments and computes nothing, see bind_function.
#define PY_SSIZE_T_CLEAN
#include "bind_function.hpp"
#include "kernels.hpp"

namespace
{
#define KERNEL(name)                                                                               \
  {                                                                                                \
#name,                                                                                         \
        reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(                                \
            +[](PyObject *, PyObject *const *given, Py_ssize_t count) {                            \
              return decaf::bind_function(#name, decaf::name, given, count);                       \
            })),                                                                                   \
        METH_FASTCALL, nullptr                                                                     \
  }

  PyMethodDef KERNELS[] = {
      KERNEL(transposed_product),
      KERNEL(clip_gradient),
      KERNEL(channel_sums),
      KERNEL(channel_products),
      KERNEL(prelu_gradient),
      KERNEL(depthwise_kernel_gradient),
      KERNEL(depthwise_input_gradient),
      KERNEL(winograd_output_gradient),
      KERNEL(winograd_kernel_gradient),
      KERNEL(winograd_kernel),
      KERNEL(max_pool_gradient),
      KERNEL(average_pool_gradient),
      KERNEL(layer_norm_gradient),
      KERNEL(lrn_gradient),
      KERNEL(elu_gradient),
      KERNEL(sigmoid_gradient),
      KERNEL(tanh_gradient),
      KERNEL(hard_sigmoid_gradient),
      KERNEL(leaky_relu_gradient),
      KERNEL(silu_gradient),
      KERNEL(hard_swish_gradient),
      KERNEL(gelu_gradient),
      KERNEL(gelu_tanh_gradient),
      KERNEL(sgd_step),
      KERNEL(adam_step),
      {nullptr, nullptr, 0, nullptr},
  };

  PyModuleDef MODULE = {PyModuleDef_HEAD_INIT,
                        "gradients",
                        "Kernels of gradients.",
                        -1,
                        KERNELS,
                        nullptr,
                        nullptr,
                        nullptr,
                        nullptr};
} // namespace

PyMODINIT_FUNC PyInit_gradients()
{
  return PyModule_Create(&MODULE);
}
