// Threads that help whoever runs call lists, kept from call to call.
//
// To start a thread takes 20 microseconds, and where the system puts it is chance; one that is kept
// waits where it ran before. A helper looks for work for a moment after its last (it spins), then
// sleeps until it is woken. Whoever has nothing left to do takes back the work of helpers that have
// not begun, so nobody waits for a thread that the system does not run.
//
// Helpers belong to a process: a fork finds none, and a forked process makes its own. They touch
// nothing of Python, take no signals, and end with the process.
#ifndef DECAF_HELPERS_HPP
#define DECAF_HELPERS_HPP

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#if !defined(_WIN32)
#include <csignal>
#include <pthread.h>
#include <unistd.h>
#endif

namespace decaf
{
  inline void pause()
  {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("isb"); // `yield` does nothing on most processors, this takes some ten nanoseconds
#endif
  }

  constexpr size_t CACHE_LINE = 128; // or two, which some processors fetch together

  // About 50 microseconds; a phase rarely takes longer.
  constexpr int SPINS = 2000;

  template <class Condition>
  void wait_until(Condition condition)
  {
    for (int spins = 0; !condition(); ++spins)
      if (spins < SPINS)
        pause();
      else
        std::this_thread::yield();
  }

  struct Job {
    void (*run)(void *work, int thread);
    void *work;
    int thread;
  };

  class alignas(CACHE_LINE) Helper
  {
    std::atomic<Job const *> offered_{nullptr};
    std::atomic<bool> done_{true}, asleep_{false};
    std::mutex mutex_;
    std::condition_variable woken_;

    // How long to look for work before sleeping: the pauses between the calls of a small batch.
    static constexpr std::chrono::microseconds AWAKE{200};

    Job const *next()
    {
      auto const until = std::chrono::steady_clock::now() + AWAKE;
      do
        for (int spins = 0; spins < 100; ++spins, pause())
          if (Job const *job = offered_.exchange(nullptr))
            return job;
      while (std::chrono::steady_clock::now() < until);
      std::unique_lock<std::mutex> lock(mutex_);
      asleep_ = true;
      Job const *job;
      woken_.wait(lock, [&] { return (job = offered_.exchange(nullptr)) != nullptr; });
      asleep_ = false;
      return job;
    }

  public:
    // What the thread of a helper does: it owns the helper.
    static void live(Helper *self)
    {
      for (Job const *job; (job = self->next())->run != nullptr;) {
        job->run(job->work, job->thread);
        self->done_.store(true, std::memory_order_release);
      }
      self->mutex_.lock(); // when `dismiss` has ended
      self->mutex_.unlock();
      delete self;
    }

    // The job must stay where it is until `finish`.
    void offer(Job const *job)
    {
      done_ = false;
      offered_ = job;
      if (asleep_) {
        { // after it has begun to wait
          std::lock_guard<std::mutex> lock(mutex_);
        }
        woken_.notify_one();
      }
    }

    // Take back a job that has not begun, or wait for its end.
    void finish()
    {
      if (offered_.exchange(nullptr) == nullptr)
        wait_until([&] { return done_.load(std::memory_order_acquire); });
    }

    // Let it end. Nobody may use it afterwards.
    void dismiss()
    {
      static constexpr Job END{nullptr, nullptr, 0};
      std::lock_guard<std::mutex> lock(mutex_);
      offered_ = &END;
      woken_.notify_one();
    }
  };

  // All helpers of a process that have nothing to do.
  class Helpers
  {
    std::mutex mutex_;
    std::vector<Helper *> idle_;
    size_t const most_ = std::max(std::thread::hardware_concurrency(), 1u);

    static Helper *start()
    {
      auto helper = std::make_unique<Helper>();
#if !defined(_WIN32)
      sigset_t all, before; // signals are for the threads of Python
      sigfillset(&all);
      pthread_sigmask(SIG_SETMASK, &all, &before);
      struct Restore {
        sigset_t const &mask;
        ~Restore()
        {
          pthread_sigmask(SIG_SETMASK, &mask, nullptr);
        }
      } const restore{before};
#endif
      std::thread(Helper::live, helper.get()).detach();
      return helper.release();
    }

  public:
    Helpers()
    {
      idle_.reserve(most_);
    }

    // Those of this process: never destroyed, for threads may look at them until it ends.
    static Helpers &own()
    {
#if defined(_WIN32)
      static Helpers *const helpers = new Helpers;
      return *helpers;
#else
      struct Owned {
        pid_t process;
        Helpers helpers;
      };
      static std::atomic<Owned *> owned{nullptr};
      Owned *found = owned;
      if (found == nullptr || found->process != getpid()) {
        // what a parent left is in the state that the fork found it in, and stays so
        auto made = std::make_unique<Owned>();
        made->process = getpid();
        if (owned.compare_exchange_strong(found, made.get()))
          found = made.release();
      }
      return found->helpers;
#endif
    }

    Helper *take()
    {
      {
        std::lock_guard<std::mutex> lock(mutex_);
        if (!idle_.empty()) {
          Helper *helper = idle_.back();
          idle_.pop_back();
          return helper;
        }
      }
      return start();
    }

    void give_back(Helper *helper)
    {
      {
        std::lock_guard<std::mutex> lock(mutex_);
        if (idle_.size() < most_) {
          idle_.push_back(helper);
          return;
        }
      }
      helper->dismiss();
    }
  };

  // Call work(thread) from several threads, or from as many as can be started.
  template <class Work>
  void in_threads(int n_threads, Work &work)
  {
    if (n_threads == 1)
      return work(0);
    auto const run = [](void *given, int thread) { (*static_cast<Work *>(given))(thread); };
    Helpers &helpers = Helpers::own();
    std::vector<Job> jobs;
    std::vector<Helper *> taken;
    try {
      jobs.reserve(n_threads - 1);
      taken.reserve(n_threads - 1);
      for (int thread = 1; thread < n_threads; ++thread) {
        taken.push_back(helpers.take());
        jobs.push_back({run, &work, thread});
        taken.back()->offer(&jobs.back());
      }
    } catch (std::exception const &) { // no thread left, or no memory for one
    }
    work(0);
    for (Helper *helper : taken)
      helper->finish();
    for (Helper *helper : taken)
      helpers.give_back(helper);
  }
} // namespace decaf

#endif
