/* What calls cost the thread that makes them: whether it sleeps there, and its CPU. Needs cmocka. */
#ifndef LSI_TEST_COUNTED_H
#define LSI_TEST_COUNTED_H

#include <stdbool.h>

/* One call of an entry. */
#define COUNTED(name, call)                                  \
  do {                                                       \
    const long slept_before_ = counted_sleeps();                     \
    const double cpu_before_ = counted_cpu_s();                      \
    call;                                                    \
    counted_note(name, counted_cpu_s() - cpu_before_, counted_sleeps() - slept_before_); \
  } while (0)

double counted_cpu_s(void);
long counted_sleeps(void);
void counted_note(const char *name, double cpu, long slept);
/* Ends a round, the best of which counts. True: there is no need for another one. */
bool counted_round(void);
void counted_judge(void); /* fails, if an entry has slept or taken more than a millisecond in all rounds */
void counted_reset(void);

#endif
