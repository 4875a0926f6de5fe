// Runs lists of bound kernels without Python, from several threads.
//
// Between two kernels of a few microseconds each, Python's lock and the system's ways to wake a
// thread would take longer than the kernels. Here a thread that waits for another looks again and
// again (it spins), and gives way only when that takes long. The threads live as long as a call of
// `run`, so that nothing is left for a fork to lose.
//
// A tape is a list of phases, a phase a list of units, a unit a list of bound calls. The units of a
// phase may run at the same time; phases run one after another. Before a tape runs for an item, the
// item is copied to the tape's inputs; afterwards its outputs are copied to the item's results.
#define PY_SSIZE_T_CLEAN
#include "bound_call.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <deque>
#include <exception>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

namespace
{
  using decaf::BoundCall;
  using Clock = std::chrono::steady_clock;

  constexpr char const *TAPE = "sklearn_decaf.tape";
  // About 50 microseconds; a phase rarely takes longer.
  constexpr int SPINS = 2000;

  void pause()
  {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("isb"); // `yield` does nothing on most processors, this takes some ten nanoseconds
#endif
  }

  template <class Condition>
  void wait_until(Condition condition)
  {
    for (int spins = 0; !condition(); ++spins)
      if (spins < SPINS)
        pause();
      else
        std::this_thread::yield();
  }

  // Errors of Python's interface are thrown as this, with Python's exception set.
  struct PythonError {
  };

  struct Object { // owns a reference
    PyObject *object;
    explicit Object(PyObject *given) : object(given)
    {
      if (given == nullptr)
        throw PythonError();
    }
    Object(Object const &) = delete;
    ~Object()
    {
      Py_DECREF(object);
    }
  };

  // The memory of a C-contiguous array.
  struct Buffer {
    Py_buffer view;
    Buffer(PyObject *array, int flags)
    {
      if (PyObject_GetBuffer(array, &view, PyBUF_C_CONTIGUOUS | flags) != 0)
        throw PythonError();
    }
    Buffer(Buffer const &) = delete;
    ~Buffer()
    {
      PyBuffer_Release(&view);
    }
    char *bytes() const
    {
      return static_cast<char *>(view.buf);
    }
  };

  template <class Each>
  void for_each(PyObject *sequence, Each each)
  {
    Object items(PySequence_Fast(sequence, "a sequence is wanted"));
    for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(items.object); ++i)
      each(PySequence_Fast_GET_ITEM(items.object, i));
  }

  template <class T>
  T *from_capsule(PyObject *capsule, char const *name)
  {
    void *pointer = PyCapsule_GetPointer(capsule, name);
    if (pointer == nullptr)
      throw PythonError();
    return static_cast<T *>(pointer);
  }

  struct Tape {
    using Unit = std::vector<BoundCall *>;
    struct PlaceOfUnit { // in a phase, of units `first` to `end` of the tape
      Unit const *unit;
      long phase, first, end;
    };
    std::vector<std::vector<Unit>> phases;
    std::vector<PlaceOfUnit> units; // of all phases
    long widest = 1;                // units of a phase, at most
    std::deque<Buffer> inputs, outputs;
    PyObject *calls; // keeps the capsules alive

    Tape(PyObject *phases_given, PyObject *inputs_given, PyObject *outputs_given)
    {
      for_each(inputs_given, [&](PyObject *array) { inputs.emplace_back(array, PyBUF_WRITABLE); });
      for_each(outputs_given, [&](PyObject *array) { outputs.emplace_back(array, 0); });
      Object kept(PyList_New(0));
      for_each(phases_given, [&](PyObject *phase_given) {
        auto &phase = phases.emplace_back();
        for_each(phase_given, [&](PyObject *unit_given) {
          auto &unit = phase.emplace_back();
          for_each(unit_given, [&](PyObject *capsule) {
            unit.push_back(from_capsule<BoundCall>(capsule, decaf::BOUND_CALL));
            if (PyList_Append(kept.object, capsule) != 0)
              throw PythonError();
          });
        });
      });
      for (auto const &phase : phases) { // which stay where they are from here on
        auto const first = static_cast<long>(units.size());
        auto const end = first + static_cast<long>(phase.size());
        widest = std::max(widest, end - first);
        for (auto const &unit : phase)
          units.push_back({&unit, static_cast<long>(&phase - phases.data()), first, end});
      }
      calls = Py_NewRef(kept.object);
    }
    Tape(Tape const &) = delete;
    ~Tape()
    {
      Py_DECREF(calls);
    }
  };

  void run_unit(Tape::Unit const &unit)
  {
    for (BoundCall *call : unit)
      call->run(call);
  }

  // The arrays that hold all items, one after another along the first axis.
  struct Items {
    std::deque<Buffer> sources, targets;
    long count;

    void load(Tape const &tape, long item) const
    {
      for (size_t i = 0; i < sources.size(); ++i) {
        auto size = tape.inputs[i].view.len;
        std::memcpy(tape.inputs[i].bytes(), sources[i].bytes() + item * size, size);
      }
    }
    void store(Tape const &tape, long item) const
    {
      for (size_t i = 0; i < targets.size(); ++i) {
        auto size = tape.outputs[i].view.len;
        std::memcpy(targets[i].bytes() + item * size, tape.outputs[i].bytes(), size);
      }
    }
  };

  // Each thread runs items on a tape of its own.
  class ItemsInParallel
  {
    std::vector<Tape *> const &tapes_;
    Items const &items_;
    std::atomic<long> next_{0};

  public:
    ItemsInParallel(std::vector<Tape *> const &tapes, Items const &items)
        : tapes_(tapes), items_(items)
    {
    }
    void operator()(int thread)
    {
      Tape const &tape = *tapes_[thread];
      for (long item; (item = next_.fetch_add(1)) < items_.count;) {
        items_.load(tape, item);
        for (auto const &phase : tape.phases)
          for (auto const &unit : phase)
            run_unit(unit);
        items_.store(tape, item);
      }
    }
  };

  // All threads share the units of each phase of one tape. A thread takes the next unit when all
  // units that have to come before it are complete. Threads never wait for each other as such: one
  // that the system has put aside holds up the others only if it is in the middle of a unit.
  class UnitsInParallel
  {
    Tape const &tape_;
    Items const &items_;
    double *seconds_; // of each phase, or none
    // Units of all items, in order, with the copies to inputs first and from outputs last.
    long const per_item_;
    std::atomic<long> next_{0}, done_{0};
    std::atomic<long> complete_{0};           // units of complete phases
    Clock::time_point since_ = Clock::now();  // when the last phase was complete

    // The first unit of a unit's phase, and the first of the next one.
    std::pair<long, long> phase_of(long unit) const
    {
      long const item = unit / per_item_ * per_item_, place = unit - item;
      if (place == 0 || place == per_item_ - 1)
        return {unit, unit + 1};
      auto const &place_in_tape = tape_.units[place - 1];
      return {item + 1 + place_in_tape.first, item + 1 + place_in_tape.end};
    }

    void run(long unit) const
    {
      long const item = unit / per_item_, place = unit % per_item_;
      if (place == 0)
        items_.load(tape_, item);
      else if (place == per_item_ - 1)
        items_.store(tape_, item);
      else
        run_unit(*tape_.units[place - 1].unit);
    }

    void add_seconds(long unit)
    {
      auto const now = Clock::now();
      long const place = unit % per_item_;
      if (place > 0 && place < per_item_ - 1)
        seconds_[tape_.units[place - 1].phase] += std::chrono::duration<double>(now - since_).count();
      since_ = now;
    }

  public:
    UnitsInParallel(Tape const &tape, Items const &items, double *seconds)
        : tape_(tape), items_(items), seconds_(seconds),
          per_item_(static_cast<long>(tape.units.size()) + 2)
    {
    }
    void operator()(int)
    {
      long const total = items_.count * per_item_;
      for (long unit = next_.load(); unit < total; unit = next_.load()) {
        auto const phase = phase_of(unit);
        wait_until([&] {
          return complete_.load(std::memory_order_acquire) >= phase.first || next_.load() != unit;
        });
        if (!next_.compare_exchange_strong(unit, unit + 1))
          continue; // another thread has taken it
        run(unit);
        if (done_.fetch_add(1, std::memory_order_acq_rel) + 1 == phase.second) {
          if (seconds_ != nullptr)
            add_seconds(unit);
          complete_.store(phase.second, std::memory_order_release);
        }
      }
      wait_until([&] { return complete_.load(std::memory_order_acquire) == total; });
    }
  };

  // Call work(thread) from several threads, or from as many as can be started.
  template <class Work>
  void in_threads(int n_threads, Work &work)
  {
    std::vector<std::thread> others;
    try {
      others.reserve(n_threads - 1);
      for (int thread = 1; thread < n_threads; ++thread)
        others.emplace_back([&work, thread] { work(thread); });
    } catch (std::exception const &) { // no thread left, or no memory for one
    }
    work(0);
    for (auto &other : others)
      other.join();
  }

  template <class Body>
  PyObject *guarded(Body body)
  {
    try {
      return body();
    } catch (PythonError const &) {
    } catch (std::exception const &error) {
      PyErr_SetString(PyExc_RuntimeError, error.what());
    }
    return nullptr;
  }

  PyObject *make_tape(PyObject *, PyObject *args)
  {
    return guarded([&]() -> PyObject * {
      PyObject *phases, *inputs, *outputs;
      if (!PyArg_ParseTuple(args, "OOO", &phases, &inputs, &outputs))
        return nullptr;
      auto tape = std::make_unique<Tape>(phases, inputs, outputs);
      PyObject *capsule = PyCapsule_New(tape.get(), TAPE, [](PyObject *self) {
        delete static_cast<Tape *>(PyCapsule_GetPointer(self, TAPE));
      });
      if (capsule != nullptr)
        tape.release();
      return capsule;
    });
  }

  // The items' arrays must be as long as the tape's inputs and outputs times the number of items.
  void check_sizes(std::deque<Buffer> const &all, std::deque<Buffer> const &one, long n_items)
  {
    bool fits = all.size() == one.size() && n_items >= 0;
    for (size_t i = 0; fits && i < all.size(); ++i) {
      auto const size = one[i].view.len;
      // divided, as a product might be too large for its type
      fits = size == 0 ? all[i].view.len == 0
                       : all[i].view.len / size == n_items && all[i].view.len % size == 0;
    }
    if (!fits) {
      PyErr_SetString(PyExc_ValueError, "the items do not fit the inputs or outputs of the tape");
      throw PythonError();
    }
  }

  PyObject *run(PyObject *, PyObject *args)
  {
    return guarded([&]() -> PyObject * {
      PyObject *tapes_given, *sources, *targets, *seconds_given;
      int n_threads;
      Items items;
      if (!PyArg_ParseTuple(args, "OilOOO", &tapes_given, &n_threads, &items.count, &sources,
                            &targets, &seconds_given))
        return nullptr;
      Object kept(PySequence_Tuple(tapes_given));
      std::vector<Tape *> tapes;
      for_each(kept.object, [&](PyObject *tape) { tapes.push_back(from_capsule<Tape>(tape, TAPE)); });
      for_each(sources, [&](PyObject *array) { items.sources.emplace_back(array, 0); });
      for_each(targets, [&](PyObject *array) {
        items.targets.emplace_back(array, PyBUF_WRITABLE);
      });
      for (Tape *tape : tapes) {
        check_sizes(items.sources, tape->inputs, items.count);
        check_sizes(items.targets, tape->outputs, items.count);
      }
      bool const shared = tapes.size() == 1;
      if (n_threads < 1 || !(shared || tapes.size() == static_cast<size_t>(n_threads))) {
        PyErr_SetString(PyExc_ValueError, "one tape is wanted, or one a thread");
        return nullptr;
      }
      std::unique_ptr<Buffer> seconds;
      if (seconds_given != Py_None) {
        seconds = std::make_unique<Buffer>(seconds_given, PyBUF_WRITABLE);
        if (!shared ||
            seconds->view.len != static_cast<long>(tapes[0]->phases.size() * sizeof(double))) {
          PyErr_SetString(PyExc_ValueError, "one number a phase of one tape is wanted");
          return nullptr;
        }
      }
      Py_BEGIN_ALLOW_THREADS
      if (shared) {
        auto *times = seconds ? reinterpret_cast<double *>(seconds->bytes()) : nullptr;
        UnitsInParallel work(*tapes[0], items, times);
        in_threads(static_cast<int>(std::min<long>(n_threads, tapes[0]->widest)), work);
      } else {
        ItemsInParallel work(tapes, items);
        in_threads(static_cast<int>(std::min<long>(n_threads, std::max(items.count, 1L))), work);
      }
      Py_END_ALLOW_THREADS
      Py_RETURN_NONE;
    });
  }

  PyObject *run_call(PyObject *, PyObject *capsule)
  {
    return guarded([&]() -> PyObject * {
      auto *call = from_capsule<BoundCall>(capsule, decaf::BOUND_CALL);
      Py_BEGIN_ALLOW_THREADS
      call->run(call);
      Py_END_ALLOW_THREADS
      Py_RETURN_NONE;
    });
  }

  PyMethodDef methods[] = {
      {"tape", make_tape, METH_VARARGS,
       "tape(phases, inputs, outputs)\n--\n\n"
       "A tape of bound calls: phases are lists of units, units lists of bound calls; inputs and\n"
       "outputs are C-contiguous arrays, to which items and from which results are copied."},
      {"run", run, METH_VARARGS,
       "run(tapes, n_threads, n_items, sources, targets, seconds)\n--\n\n"
       "Run tapes for each item. With one tape, the threads share the units of each phase; with\n"
       "one a thread, they share the items. Sources and targets hold all items, one after\n"
       "another; the seconds that each phase of one tape took are added to `seconds`, a float64\n"
       "array, or None. A tape must not be run by two callers at the same time."},
      {"run_call", run_call, METH_O, "run_call(call)\n--\n\nRun one bound call."},
      {nullptr, nullptr, 0, nullptr}};

  PyModuleDef module = {PyModuleDef_HEAD_INIT, "runner", "Runs bound kernels without Python.", -1,
                        methods, nullptr, nullptr, nullptr, nullptr};
} // namespace

PyMODINIT_FUNC PyInit_runner(void)
{
  return PyModule_Create(&module);
}
