/* The loop of one worker (worker.c). Inside of the engine. */
#ifndef LSI_WORKER_H
#define LSI_WORKER_H

/* Of a thread; takes a struct lsi_worker. */
void lsi_worker_main(void *worker);

#endif
