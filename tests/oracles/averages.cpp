// Bound calls for tests of runner.cpp: the average of some numbers plus 1, written to one place.
#include "bound_call.hpp"

namespace
{
  struct Average : decaf::BoundCall {
    Py_buffer in, out;
    Py_ssize_t place;

    static void run_average(decaf::BoundCall *self)
    {
      auto &own = *static_cast<Average *>(self);
      auto const *numbers = static_cast<double *>(own.in.buf);
      Py_ssize_t const n = own.in.len / static_cast<Py_ssize_t>(sizeof(double));
      double sum = 0;
      for (Py_ssize_t i = 0; i < n; ++i)
        sum += numbers[i];
      static_cast<double *>(own.out.buf)[own.place] = sum / static_cast<double>(n) + 1;
    }
    static void destroy_average(decaf::BoundCall *self)
    {
      auto *own = static_cast<Average *>(self);
      PyBuffer_Release(&own->in);
      PyBuffer_Release(&own->out);
      delete own;
    }
  };

  // average(in, out, place): buffers of doubles
  PyObject *average(PyObject *, PyObject *args)
  {
    auto *call = new Average;
    call->run = Average::run_average;
    call->destroy = Average::destroy_average;
    if (!PyArg_ParseTuple(args, "y*w*n", &call->in, &call->out, &call->place)) {
      delete call;
      return nullptr;
    }
    return PyCapsule_New(call, decaf::BOUND_CALL, [](PyObject *self) {
      auto *own =
          static_cast<decaf::BoundCall *>(PyCapsule_GetPointer(self, decaf::BOUND_CALL));
      own->destroy(own);
    });
  }

  PyMethodDef methods[] = {{"average", average, METH_VARARGS, nullptr},
                           {nullptr, nullptr, 0, nullptr}};
  PyModuleDef module = {PyModuleDef_HEAD_INIT, "averages", nullptr, -1, methods,
                        nullptr, nullptr, nullptr, nullptr};
} // namespace

PyMODINIT_FUNC PyInit_averages(void)
{
  return PyModule_Create(&module);
}
