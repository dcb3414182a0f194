/* Keeps the library non-empty. */
typedef int lsi_test_support_is_not_empty;
