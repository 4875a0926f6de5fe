// Makes bound calls of what Pythran compiles. To be included after Pythran's own headers.
#pragma once

#include "bound_call.hpp"

#include <tuple>
#include <utility>

namespace decaf
{
  template <class Argument>
  struct Stored {
    Argument value;
    Argument get() const
    {
      return value;
    }
  };

  // The stored array keeps its NumPy array alive. Kernels get a fresh one: the compiler then sees
  // how its strides follow from its shape, that the last one is 1 above all, and uses vectors.
  template <class T, class Shape>
  struct Stored<pythonic::types::ndarray<T, Shape>> {
    using Array = pythonic::types::ndarray<T, Shape>;
    Array value;
    Array get() const
    {
      return Array(value.buffer, value._shape, pythonic::types::ownership::external);
    }
  };

  template <class Kernel, class... Arguments>
  struct Bound : BoundCall {
    std::tuple<Stored<Arguments>...> arguments;

    Bound(Arguments... given)
        : BoundCall{run_kernel, destroy_bound}, arguments(Stored<Arguments>{std::move(given)}...)
    {
    }

    // Flat, all in one function: where a lambda remains, the sums of a product leave the registers.
    [[gnu::flatten]] static void run_kernel(BoundCall *self)
    {
      std::apply([](auto const &...each) { Kernel{}(each.get()...); },
                 static_cast<Bound *>(self)->arguments);
    }

    static void destroy_bound(BoundCall *self)
    {
      delete static_cast<Bound *>(self);
    }
  };

  template <class Kernel, class... Arguments>
  PyObject *bind(Arguments... arguments)
  {
    BoundCall *call = new Bound<Kernel, Arguments...>(std::move(arguments)...);
    PyObject *capsule = PyCapsule_New(call, BOUND_CALL, [](PyObject *self) {
      auto *own = static_cast<BoundCall *>(PyCapsule_GetPointer(self, BOUND_CALL));
      own->destroy(own);
    });
    if (capsule == nullptr)
      call->destroy(call);
    return capsule;
  }
} // namespace decaf
