// A kernel together with its arguments: made once, run again and again without Python.
#pragma once

#include <Python.h>

namespace decaf
{
  struct BoundCall {
    void (*run)(BoundCall *self);
    void (*destroy)(BoundCall *self); // with Python's lock
  };

  // The name under which a capsule holds a BoundCall.
  constexpr char const *BOUND_CALL = "sklearn_decaf.bound_call";
} // namespace decaf
