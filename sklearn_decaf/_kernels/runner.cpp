// Runs lists of bound kernels without Python, from several threads.
//
// Between two kernels of a few microseconds each, Python's lock and the system's ways to wake a
// thread would take longer than the kernels. Here a thread that waits for another looks again and
// again (it spins), and gives way only when that takes long. Threads are kept between calls, see
// `helpers.hpp`.
//
// A call list is a list of phases, a phase a list of tasks, a task a list of bound calls. The tasks
// of a phase may run at the same time; phases run one after another. Before a call list runs for an
// item, the item is copied to its inputs; afterwards its outputs are copied to the item's results.
#define PY_SSIZE_T_CLEAN
#include "bound_call.hpp"
#include "helpers.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <deque>
#include <exception>
#include <memory>
#include <vector>

namespace
{
  using decaf::BoundCall;
  using decaf::in_threads;
  using decaf::wait_until;
  using Clock = std::chrono::steady_clock;

  constexpr char const *CALL_LIST = "sklearn_decaf.call_list";
  // Errors of Python's interface are thrown as this, with Python's exception set.
  struct PythonError {
  };

  // Whether this thread has Python's lock. A thread that asks for it while the process ends is ended
  // itself, which runs the destructors of all that it is in the middle of: those leave Python alone.
  thread_local bool has_lock = true;

  template <class Work>
  void without_lock(Work work)
  {
    has_lock = false;
    PyThreadState *state = PyEval_SaveThread();
    work();
    PyEval_RestoreThread(state);
    has_lock = true;
  }

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
      if (has_lock)
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
      if (has_lock)
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

  struct CallList {
    using Task = std::vector<BoundCall *>;
    std::vector<std::vector<Task>> phases;
    long n_tasks = 0; // of all phases
    long widest = 1;  // tasks of a phase, at most
    std::deque<Buffer> inputs, outputs;
    PyObject *calls; // keeps the capsules alive

    CallList(PyObject *phases_given, PyObject *inputs_given, PyObject *outputs_given)
    {
      for_each(inputs_given, [&](PyObject *array) { inputs.emplace_back(array, PyBUF_WRITABLE); });
      for_each(outputs_given, [&](PyObject *array) { outputs.emplace_back(array, 0); });
      Object kept(PyList_New(0));
      for_each(phases_given, [&](PyObject *phase_given) {
        auto &phase = phases.emplace_back();
        for_each(phase_given, [&](PyObject *task_given) {
          auto &task = phase.emplace_back();
          for_each(task_given, [&](PyObject *capsule) {
            task.push_back(from_capsule<BoundCall>(capsule, decaf::BOUND_CALL));
            if (PyList_Append(kept.object, capsule) != 0)
              throw PythonError();
          });
        });
      });
      for (auto const &phase : phases) {
        n_tasks += static_cast<long>(phase.size());
        widest = std::max(widest, static_cast<long>(phase.size()));
      }
      calls = Py_NewRef(kept.object);
    }
    CallList(CallList const &) = delete;
    ~CallList()
    {
      Py_DECREF(calls);
    }
  };

  void run_task(CallList::Task const &task)
  {
    for (BoundCall *call : task)
      call->run(call);
  }

  // The arrays that hold all items, one after another along the first axis.
  struct Items {
    std::deque<Buffer> sources, targets;
    long count;

    void load(CallList const &list, long item) const
    {
      for (size_t i = 0; i < sources.size(); ++i) {
        auto size = list.inputs[i].view.len;
        std::memcpy(list.inputs[i].bytes(), sources[i].bytes() + item * size, size);
      }
    }
    void store(CallList const &list, long item) const
    {
      for (size_t i = 0; i < targets.size(); ++i) {
        auto size = list.outputs[i].view.len;
        std::memcpy(targets[i].bytes() + item * size, list.outputs[i].bytes(), size);
      }
    }
  };

  // Each thread runs items on a call list of its own.
  class ItemsInParallel
  {
    std::vector<CallList *> const &lists_;
    Items const &items_;
    alignas(decaf::CACHE_LINE) std::atomic<long> next_{0};

  public:
    ItemsInParallel(std::vector<CallList *> const &lists, Items const &items)
        : lists_(lists), items_(items)
    {
    }
    void operator()(int thread)
    {
      CallList const &list = *lists_[thread];
      for (long item; (item = next_.fetch_add(1)) < items_.count;) {
        items_.load(list, item);
        for (auto const &phase : list.phases)
          for (auto const &task : phase)
            run_task(task);
        items_.store(list, item);
      }
    }
  };

  // All threads share the tasks of each phase of one call list. A thread takes its own tasks, which
  // have the same number in each phase: mostly they read what it wrote itself, which is in its cache.
  // Then it takes those that others have not begun. So threads never wait for each other as such: one
  // that the system has put aside holds up the others only if it is in the middle of a task.
  class TasksInParallel
  {
    CallList const &list_;
    Items const &items_;
    double *seconds_; // of each phase, or none
    int const n_threads_;
    // Units of an item, in order: the copies to inputs first, tasks, the copies from outputs.
    long const per_item_;
    // For each thread, and each task that is its own: for how many items it was taken.
    long const spacing_;
    std::vector<std::atomic<long>> taken_;
    Clock::time_point since_ = Clock::now(); // when the last phase was complete
    // Each in a cache line of its own: threads look at these while others work, and where anything
    // else lies in the same line, such as the stack of a kernel, both wait for it again and again.
    alignas(decaf::CACHE_LINE) std::atomic<long> done_{0};
    alignas(decaf::CACHE_LINE) std::atomic<long> complete_{0}; // units of complete phases

    void add_seconds(long phase)
    {
      auto const now = Clock::now();
      if (phase >= 0)
        seconds_[phase] += std::chrono::duration<double>(now - since_).count();
      since_ = now;
    }

    // Help with units `first` to `first + n` of an item, which may run at the same time.
    template <class Run>
    void share(int thread, long item, long first, long n, long phase, Run run)
    {
      long const begin = item * per_item_ + first, end = begin + n;
      long complete = 0;
      wait_until([&] { return (complete = complete_.load(std::memory_order_acquire)) >= begin; });
      if (complete >= end)
        return;
      for (int k = 0; k < n_threads_; ++k) { // itself first
        int const owner = (thread + k) % n_threads_;
        for (long i = owner; i < n; i += n_threads_) {
          auto &taken = taken_[owner * spacing_ + first + i];
          long expected = item;
          if (taken.load(std::memory_order_relaxed) != item ||
              !taken.compare_exchange_strong(expected, item + 1))
            continue;
          run(i);
          if (done_.fetch_add(1, std::memory_order_acq_rel) + 1 == end) {
            if (seconds_ != nullptr)
              add_seconds(phase);
            complete_.store(end, std::memory_order_release);
          }
        }
      }
    }

  public:
    TasksInParallel(CallList const &list, Items const &items, double *seconds, int n_threads)
        : list_(list), items_(items), seconds_(seconds), n_threads_(n_threads),
          per_item_(list.n_tasks + 2), spacing_(per_item_ + decaf::CACHE_LINE / sizeof(long)),
          taken_(n_threads * spacing_)
    {
    }
    void operator()(int thread)
    {
      long const total = items_.count * per_item_;
      for (long item = 0; item < items_.count; ++item) {
        share(thread, item, 0, 1, -1, [&](long) { items_.load(list_, item); });
        long first = 1;
        for (size_t k = 0; k < list_.phases.size(); ++k) {
          auto const &phase = list_.phases[k];
          auto const n = static_cast<long>(phase.size());
          share(thread, item, first, n, k, [&](long i) { run_task(phase[i]); });
          first += n;
        }
        share(thread, item, first, 1, -1, [&](long) { items_.store(list_, item); });
      }
      wait_until([&] { return complete_.load(std::memory_order_acquire) == total; });
    }
  };

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

  PyObject *make_call_list(PyObject *, PyObject *args)
  {
    return guarded([&]() -> PyObject * {
      PyObject *phases, *inputs, *outputs;
      if (!PyArg_ParseTuple(args, "OOO", &phases, &inputs, &outputs))
        return nullptr;
      auto list = std::make_unique<CallList>(phases, inputs, outputs);
      PyObject *capsule = PyCapsule_New(list.get(), CALL_LIST, [](PyObject *self) {
        delete static_cast<CallList *>(PyCapsule_GetPointer(self, CALL_LIST));
      });
      if (capsule != nullptr)
        list.release();
      return capsule;
    });
  }

  // The items' arrays must be as long as the list's inputs and outputs times the number of items.
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
      PyErr_SetString(PyExc_ValueError,
                      "the items do not fit the inputs or outputs of the call list");
      throw PythonError();
    }
  }

  PyObject *run(PyObject *, PyObject *args)
  {
    return guarded([&]() -> PyObject * {
      PyObject *lists_given, *sources, *targets, *seconds_given;
      int n_threads;
      Items items;
      if (!PyArg_ParseTuple(args, "OilOOO", &lists_given, &n_threads, &items.count, &sources,
                            &targets, &seconds_given))
        return nullptr;
      Object kept(PySequence_Tuple(lists_given));
      std::vector<CallList *> lists;
      for_each(kept.object, [&](PyObject *list) {
        lists.push_back(from_capsule<CallList>(list, CALL_LIST));
      });
      for_each(sources, [&](PyObject *array) { items.sources.emplace_back(array, 0); });
      for_each(targets, [&](PyObject *array) {
        items.targets.emplace_back(array, PyBUF_WRITABLE);
      });
      for (CallList *list : lists) {
        check_sizes(items.sources, list->inputs, items.count);
        check_sizes(items.targets, list->outputs, items.count);
      }
      bool const shared = lists.size() == 1;
      if (n_threads < 1 || !(shared || lists.size() == static_cast<size_t>(n_threads))) {
        PyErr_SetString(PyExc_ValueError, "one call list is wanted, or one a thread");
        return nullptr;
      }
      std::unique_ptr<Buffer> seconds;
      if (seconds_given != Py_None) {
        seconds = std::make_unique<Buffer>(seconds_given, PyBUF_WRITABLE);
        if (!shared ||
            seconds->view.len != static_cast<long>(lists[0]->phases.size() * sizeof(double))) {
          PyErr_SetString(PyExc_ValueError, "one number a phase of one call list is wanted");
          return nullptr;
        }
      }
      // more threads than have something to do at the same time are of no use
      long const useful = shared ? lists[0]->widest : std::max(items.count, 1L);
      int const threads = static_cast<int>(std::min<long>(n_threads, useful));
      if (shared) {
        auto *times = seconds ? reinterpret_cast<double *>(seconds->bytes()) : nullptr;
        TasksInParallel work(*lists[0], items, times, threads);
        without_lock([&] { in_threads(threads, work); });
      } else {
        ItemsInParallel work(lists, items);
        without_lock([&] { in_threads(threads, work); });
      }
      Py_RETURN_NONE;
    });
  }

  PyObject *run_call(PyObject *, PyObject *capsule)
  {
    return guarded([&]() -> PyObject * {
      auto *call = from_capsule<BoundCall>(capsule, decaf::BOUND_CALL);
      without_lock([&] { call->run(call); });
      Py_RETURN_NONE;
    });
  }

  PyMethodDef methods[] = {
      {"call_list", make_call_list, METH_VARARGS,
       "call_list(phases, inputs, outputs)\n--\n\n"
       "A list of bound calls: phases are lists of tasks, tasks lists of bound calls; inputs and\n"
       "outputs are C-contiguous arrays, to which items and from which results are copied."},
      {"run", run, METH_VARARGS,
       "run(call_lists, n_threads, n_items, sources, targets, seconds)\n--\n\n"
       "Run call lists for each item. With one, the threads share the tasks of each phase; with\n"
       "one a thread, they share the items. Sources and targets hold all items, one after\n"
       "another; the seconds that each phase of one call list took are added to `seconds`, a\n"
       "float64 array, or None. A call list must not be run by two callers at the same time."},
      {"run_call", run_call, METH_O, "run_call(call)\n--\n\nRun one bound call."},
      {nullptr, nullptr, 0, nullptr}};

  PyModuleDef module = {PyModuleDef_HEAD_INIT, "runner", "Runs bound kernels without Python.", -1,
                        methods, nullptr, nullptr, nullptr, nullptr};
} // namespace

PyMODINIT_FUNC PyInit_runner(void)
{
  return PyModule_Create(&module);
}
