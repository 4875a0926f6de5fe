// Binds plain functions to arguments that come from Python: numbers, and arrays by the buffer
// protocol. Types, axes and a contiguous last axis are checked here, shapes by the caller.
#pragma once

#include "bound_call.hpp"
#include "views.hpp"

#include <memory>
#include <tuple>

namespace decaf
{
  // An argument of a kernel; it keeps what it needs of Python's object.
  template <class T>
  struct Argument;

  template <>
  struct Argument<Index> {
    Index value;
    char const *take(PyObject *object)
    {
      value = PyLong_AsSsize_t(object);
      return PyErr_Occurred() ? "an integer" : nullptr;
    }
  };

  template <>
  struct Argument<float> {
    float value;
    char const *take(PyObject *object)
    {
      value = static_cast<float>(PyFloat_AsDouble(object));
      return PyErr_Occurred() ? "a number" : nullptr;
    }
  };

  template <class Number, int N>
  struct Argument<View<Number, N>> {
    View<Number, N> value;
    Py_buffer buffer{};

    ~Argument()
    {
      PyBuffer_Release(&buffer); // nothing where nothing was taken
    }

    char const *take(PyObject *object)
    {
      static constexpr char const *WRITABLE = "an array of float32 that may be written, with a "
                                              "contiguous last axis and the right number of axes";
      static constexpr char const *READ = "an array of float32 with a contiguous last axis and "
                                          "the right number of axes";
      constexpr bool written = !std::is_const_v<Number>;
      char const *wanted = written ? WRITABLE : READ;
      int const flags = PyBUF_STRIDES | PyBUF_FORMAT | (written ? PyBUF_WRITABLE : 0);
      if (PyObject_GetBuffer(object, &buffer, flags) != 0)
        return wanted;
      if (buffer.ndim != N || buffer.itemsize != 4 || std::strcmp(buffer.format, "f") != 0)
        return wanted;
      value.first = static_cast<Number *>(buffer.buf);
      for (int axis = 0; axis < N; ++axis) {
        if (buffer.strides[axis] % 4 != 0)
          return wanted;
        value.size[axis] = buffer.shape[axis];
        value.step[axis] = buffer.strides[axis] / 4;
      }
      return value.size[N - 1] > 1 && value.step[N - 1] != 1 ? wanted : nullptr;
    }
  };

  template <class... Types>
  struct BoundFunction : BoundCall {
    void (*function)(Types...);
    std::tuple<Argument<Types>...> arguments;

    explicit BoundFunction(void (*given)(Types...))
        : BoundCall{run_function, destroy_function}, function(given)
    {
    }

    static void run_function(BoundCall *self)
    {
      auto *own = static_cast<BoundFunction *>(self);
      std::apply([own](auto &...each) { own->function(each.value...); }, own->arguments);
    }

    static void destroy_function(BoundCall *self)
    {
      delete static_cast<BoundFunction *>(self);
    }
  };

  template <class... Types>
  PyObject *bind_function(char const *name, void (*function)(Types...), PyObject *const *given,
                          Py_ssize_t count)
  {
    if (count != sizeof...(Types)) {
      PyErr_Format(PyExc_TypeError, "%s: %zd arguments instead of %zd", name, count,
                   Py_ssize_t(sizeof...(Types)));
      return nullptr;
    }
    auto call = std::make_unique<BoundFunction<Types...>>(function);
    char const *wanted = nullptr;
    Py_ssize_t place = 0;
    std::apply(
        [&](auto &...each) {
          // stops at the first that does not fit
          (void)((wanted = each.take(given[place]), ++place, wanted == nullptr) && ...);
        },
        call->arguments);
    if (wanted != nullptr) {
      PyErr_Format(PyExc_TypeError, "%s: argument %zd must be %s, not %R", name, place, wanted,
                   reinterpret_cast<PyObject *>(Py_TYPE(given[place - 1])));
      return nullptr;
    }
    BoundCall *bound = call.get();
    PyObject *capsule = PyCapsule_New(bound, BOUND_CALL, [](PyObject *self) {
      auto *own = static_cast<BoundCall *>(PyCapsule_GetPointer(self, BOUND_CALL));
      own->destroy(own);
    });
    if (capsule != nullptr)
      call.release();
    return capsule;
  }
} // namespace decaf
