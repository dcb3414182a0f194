/* LSIO: read millions of chunks (byte ranges of files) as fast as the storage allows and run a Lua
 * function on each while it is still in the CPU's cache.
 *
 * This header is the manual of the C library. A program
 *
 *   1. makes a context (lsio_context_create): jobs, their Lua states and the memory they leave live in it,
 *   2. submits a job (lsio_submit): the Lua source of a job script, its parameters and settings; or just the
 *      ranges that it wants to have read (lsio_request),
 *   3. waits for its end (lsio_wait), or takes results, failures and ends of many jobs from a queue
 *      (lsio_queue_take): no other call waits for a job,
 *   4. reads the summary, the result (a file, or an array in memory: lsio_job_output) or the error, which
 *      says what was wrong with the script as well; releases the job, and destroys the context.
 *
 * Trust: a job script is as trusted as a shell script; it can do whatever the process can. The data
 * that it reads is not trusted.
 *
 * Conventions
 *   - Functions that can fail return 0 or a count, or a negative LSIO_ERR_* code. Where they take an
 *     `lsio_error **`, it may be NULL; on failure it receives an error object that the caller frees
 *     with lsio_error_free.
 *   - Options structs start with `struct_size`: set it to sizeof the struct and zero the rest;
 *     zero means "default" for every field.
 *   - Ownership is said at every pointer: "copied" (the caller may free it when the call returns),
 *     "borrowed until X" (it must stay valid until X), "handed over" (the receiver frees it).
 *   - Thread-safety: a context may be used from any threads at once, but for its destruction. A job may be
 *     used from one thread at a time; lsio_cancel, lsio_job_progress, lsio_job_retain and lsio_job_release
 *     from any.
 *   - After fork a child may make contexts of its own and use all of LSIO in them. Of its parent's contexts,
 *     queues, jobs and loaded scripts it has copies that nothing goes on with: what can fail returns
 *     LSIO_ERR_FORKED (lsio_wait, lsio_queue_take and lsio_job_status too), descriptors are -1,
 *     progress and statistics are zero, texts and states NULL. Functions that release, destroy or cancel them
 *     do nothing and return at once: nothing is waited for or called back, and the parent's descriptors and
 *     temporary files stay as they are, also when the child exits. Values, requests, errors, texts, and
 *     arrays that lsio_job_take_output handed over, are in memory that the child has a copy of: they are used
 *     and given back as in the parent. A block can be given back, but its data and results are
 *     not there. In a callback a child may only leave, by exec or _exit. Forks are noticed by pthread_atfork:
 *     _Fork and plain clone go unnoticed, and are for children that only exec.
 */
#ifndef LSIO_H
#define LSIO_H

/* In the order in which they are read. */
#include "lsio/base.h"
#include "lsio/error.h"
#include "lsio/library.h"
#include "lsio/value.h"
#include "lsio/context.h"
#include "lsio/request.h"
#include "lsio/transform.h"
#include "lsio/job.h"
#include "lsio/queue.h"
#include "lsio/result.h"

#endif
