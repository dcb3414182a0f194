/* Every store that names can lead to. */
#include "list.h"

const struct lsi_store *const lsi_stores[] = {
    &lsi_store_file,
    &lsi_store_stdin,
    &lsi_store_http,
    NULL,
};
