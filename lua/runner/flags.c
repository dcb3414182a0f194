/* The command line: options before the script are the runner's, words after it are the script's. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runner/runner.h"

/* Options that are no settings of a job. `argument` in brackets is optional: --name=value only. */
static const struct lsio_setting own[] = {
    {"explain", "[=text|json]", "LSIO_EXPLAIN", "print the plan instead of running the job"},
    {"json", "FILE", "LSIO_JSON", "write a summary of the run (- is stdout, after the job's output)"},
    {"errors", "FILE", "LSIO_ERRORS", "write a line of JSON for every step that fails (- is stdout)"},
    {"trace", "FILE", "LSIO_TRACE", "write what each thread did, for ui.perfetto.dev or chrome://tracing"},
    {"progress", "auto|always|never", "LSIO_PROGRESS",
     "rate and time left on stderr (default: auto, on a terminal)"},
    {"quiet", NULL, "LSIO_QUIET", "no progress and no summary on stderr"},
    {"version", NULL, NULL, "print what this is and what it was built with"},
    {"doctor", NULL, NULL, "print what LSIO finds on this machine, and what is wrong with it"},
    {"help", "[job.lua]", NULL, "print this, or the parameters of a job script"},
    {NULL, NULL, NULL, NULL}};
#define OWN_SHOWN 6 /* the first of them are about what is shown */

static const struct {
  char letter;
  const char *name;
} letters[] = {{'j', "workers"}, {'q', "quiet"}, {'h', "help"}, {'V', "version"}};

/* ---- help ---- */

#define HELP_AT 34   /* column where the explanations stand */
#define HELP_WIDTH 62

/* The explanation in lines of HELP_WIDTH, the first one where the cursor is. */
static void print_wrapped(const char *text) {
  size_t n;
  while ((n = strlen(text)) > HELP_WIDTH) {
    size_t cut = HELP_WIDTH;
    while (cut && text[cut] != ' ') cut--;
    if (!cut) break;
    printf("%.*s\n%*s", (int)cut, text, HELP_AT, "");
    text += cut + 1;
  }
  puts(text);
}

static void help_rows(const struct lsio_setting *rows, size_t n) {
  for (size_t i = 0; i < n && rows[i].name; i++) {
    char option[64], letter[8] = "    ";
    for (size_t k = 0; k < sizeof letters / sizeof letters[0]; k++)
      if (strcmp(letters[k].name, rows[i].name) == 0)
        snprintf(letter, sizeof letter, "-%c, ", letters[k].letter);
    const char *argument = rows[i].argument;
    snprintf(option, sizeof option, "%s--%s%s%s", letter, rows[i].name,
             argument && argument[0] != '[' ? " " : argument && argument[1] != '=' ? " " : "",
             argument ? argument : "");
    /* What does not fit beside the help gets a line of its own. */
    if (strlen(option) > HELP_AT - 4)
      printf("  %s\n%*s", option, HELP_AT, "");
    else
      printf("  %-*s", HELP_AT - 2, option);
    print_wrapped(rows[i].help);
  }
}

void flags_print_help(void) {
  fputs("usage: lsio-lua [options] job.lua [parameters]\n"
        "       lsio-lua [options] -e 'code' [parameters]\n"
        "       lsio-lua [options] - [parameters] < job.lua\n"
        "\n"
        "Reads the chunks that a job script names and runs its transform on each of them, on\n"
        "every core. Options stand before the script; what follows it belongs to the script.\n"
        "A job script is as trusted as a shell script.\n"
        "\n"
        "  lsio-lua job.lua --threshold 0.7       run a job with a parameter of its own\n"
        "  lsio-lua --help job.lua                what parameters it takes\n"
        "  lsio-lua --explain job.lua             what it would read, and how\n"
        "  lsio-lua -j4 --limit 100 job.lua       four workers, the first 100 steps only\n"
        "  lsio-lua --on-error skip --errors=bad.jsonl job.lua\n"
        "  lsio-lua --step 84 job.lua             that step alone, which has failed\n"
        "\n"
        "How a job runs (each also as a variable, LSIO_WORKERS for --workers; and in the\n"
        "script's `options`):\n",
        stdout);
  help_rows(lsio_settings(), SIZE_MAX);
  fputs("\nWhat is shown:\n", stdout);
  help_rows(own, OWN_SHOWN);
  fputs("\nAbout LSIO:\n", stdout);
  help_rows(own + OWN_SHOWN, SIZE_MAX);
  fputs("  -e CODE                         the script itself instead of a file\n"
        "  --                              end of options: the script's path follows\n"
        "\n"
        "SIZE is bytes or a number with K/M/G, KiB/MiB/GiB (powers of 1024) or KB/MB/GB.\n"
        "\n"
        "Exit codes: 0 done, 1 done but steps were skipped, 2 wrong usage, 3 the script does not\n"
        "load, 4 a source is missing or changed, 5 I/O error, 6 output error, 7 the transform\n"
        "failed, 8 corrupt data, 9 a limit was reached, 130 interrupted, 141 nobody reads its\n"
        "standard output any more (as after | head), 143 terminated.\n",
        stdout);
}

/* ---- names ---- */

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }

#define NAME_MAX_LENGTH 40

static size_t distance(const char *a, const char *b) {
  size_t row[NAME_MAX_LENGTH + 1];
  const size_t n = strlen(a), m = strlen(b);
  if (n > NAME_MAX_LENGTH || m > NAME_MAX_LENGTH) return SIZE_MAX;
  for (size_t j = 0; j <= m; j++) row[j] = j;
  for (size_t i = 1; i <= n; i++) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= m; j++) {
      size_t up = row[j];
      row[j] = smaller(smaller(row[j - 1], up) + 1, diagonal + (a[i - 1] != b[j - 1]));
      diagonal = up;
    }
  }
  return row[m];
}

static void nearest_in(const struct lsio_setting *rows, const char *name, const char **best,
                       size_t *best_distance) {
  for (; rows->name; rows++) {
    size_t d = distance(name, rows->name);
    if (d > 1 && strlen(name) >= 3 && strncmp(name, rows->name, strlen(name)) == 0) d = 1;
    if (d < *best_distance) {
      *best_distance = d;
      *best = rows->name;
    }
  }
}

static int unknown_option(const char *word, const char *name) {
  const char *best = NULL;
  size_t d = SIZE_MAX;
  nearest_in(lsio_settings(), name, &best, &d);
  nearest_in(own, name, &best, &d);
  if (best && d <= (strlen(name) < 6 ? 1 : strlen(name) / 3))
    say("unknown option '%s': did you mean --%s?", word, best);
  else
    say("unknown option '%s' (lsio-lua --help lists them; a script's own stand after it)", word);
  return EXIT_USAGE;
}

static const struct lsio_setting *find(const struct lsio_setting *rows, const char *name) {
  for (; rows->name; rows++)
    if (strcmp(rows->name, name) == 0) return rows;
  return NULL;
}

/* ---- values ---- */

static int add_setting(struct flags *f, const char *name, const char *value) {
  char **more = realloc(f->settings, (f->n_settings + 1) * sizeof *more);
  if (more) f->settings = more;
  const size_t size = strlen(name) + strlen(value) + 2;
  char *pair = more ? malloc(size) : NULL;
  if (!pair) {
    say("out of memory");
    return EXIT_LIMIT;
  }
  snprintf(pair, size, "%s=%s", name, value);
  f->settings[f->n_settings++] = pair;
  return 0;
}

static int bad_choice(const char *origin, const char *valid, const char *value) {
  say("%s must be %s, not '%s'", origin, valid, value);
  return EXIT_USAGE;
}

/* A file that the runner writes, whatever stood there: a job's script is not meant. */
static int set_file(const char **out, const char *value, const char *origin) {
  const size_t n = strlen(value);
  if (n > 4 && strcmp(value + n - 4, ".lua") == 0) {
    say("%s names the file that it writes, and would replace '%s': that is a script", origin, value);
    return EXIT_USAGE;
  }
  *out = value;
  return 0;
}

static int no_trace_to_stdout(const char *origin) {
  say("%s takes the name of a file, such as trace.json, and not - for standard output", origin);
  return EXIT_USAGE;
}

/* One of the runner's own; `origin` is how the user wrote it ("--json", "LSIO_JSON"). */
static int set_own(struct flags *f, const char *name, const char *value, const char *origin) {
  if (strcmp(name, "explain") == 0) {
    if (!value || strcmp(value, "text") == 0)
      f->explain = EXPLAIN_TEXT;
    else if (strcmp(value, "json") == 0)
      f->explain = EXPLAIN_JSON;
    else
      return bad_choice(origin, "text or json", value);
  } else if (strcmp(name, "progress") == 0) {
    static const char *const words[] = {"auto", "always", "never"};
    for (int i = 0; i < 3; i++)
      if (strcmp(value, words[i]) == 0) return f->progress = (enum when)i, 0;
    return bad_choice(origin, "auto, always or never", value);
  } else if (strcmp(name, "json") == 0) {
    return set_file(&f->json, value, origin);
  } else if (strcmp(name, "errors") == 0) {
    return set_file(&f->errors, value, origin);
  } else if (strcmp(name, "trace") == 0) {
    if (strcmp(value, "-") == 0) return no_trace_to_stdout(origin);
    return set_file(&f->trace, value, origin);
  } else if (strcmp(name, "quiet") == 0) {
    f->quiet = true;
  } else if (strcmp(name, "version") == 0) {
    f->action = ACTION_VERSION;
  } else if (strcmp(name, "doctor") == 0) {
    f->action = ACTION_DOCTOR;
  } else if (strcmp(name, "help") == 0) {
    f->action = ACTION_HELP;
  }
  return 0;
}

/* Variables count for less than flags, so they are taken first. */
static int from_environment(struct flags *f) {
  for (const struct lsio_setting *row = own; row->name; row++) {
    const char *value = row->env ? getenv(row->env) : NULL;
    if (!value || !*value) continue;
    if (strcmp(row->name, "quiet") == 0 && strcmp(value, "0") == 0) continue;
    int rc = set_own(f, row->name, value, row->env);
    if (rc) return rc;
  }
  return 0;
}

/* ---- options in the wrong place ---- */

/* The option that a word is, whose name ends at its '=' or end; NULL: none. */
static const struct lsio_setting *option_of(const char *word) {
  char name[NAME_MAX_LENGTH + 1] = "";
  const size_t n = strcspn(word, "=");
  if (strncmp(word, "--", 2) == 0) {
    if (n - 2 < sizeof name) snprintf(name, sizeof name, "%.*s", (int)n - 2, word + 2);
  } else {
    for (size_t i = 0; word[0] == '-' && i < sizeof letters / sizeof letters[0]; i++)
      if (letters[i].letter == word[1]) snprintf(name, sizeof name, "%s", letters[i].name);
  }
  const struct lsio_setting *row = find(lsio_settings(), name);
  return row ? row : find(own, name);
}

static bool takes_value(const struct lsio_setting *row) { return row->argument && row->argument[0] != '['; }

/* Somebody has forgotten a value, rather than that a file's name begins so. */
static bool is_no_value(const char *word) {
  return strncmp(word, "--", 2) == 0 || strcmp(word, "-e") == 0 || option_of(word);
}

/* By the words of lsio.params. */
static bool is_refused(const char *message, const char *word) {
  static const char *const refusals[] = {"unknown parameter ", "unknown option "};
  const size_t n = word[1] == '-' ? strcspn(word, "=") : strlen(word);
  for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
    const char *at = strstr(message, refusals[i]);
    if (at) at += strlen(refusals[i]);
    if (at && *at == '"') at++;
    if (at && strncmp(at, word, n) == 0 && strchr(":\"", at[n])) return true;
  }
  return false;
}

void flags_explain(const struct flags *f, const char *message) {
  for (size_t i = 0; i < f->n_args && strcmp(f->args[i], "--") != 0; i++) {
    const char *word = f->args[i];
    const struct lsio_setting *row = option_of(word);
    if (!row || !is_refused(message, word)) continue;
    const bool alone = word[1] == '-' ? !strchr(word, '=') : !word[2];
    const char *value = alone && takes_value(row) && i + 1 < f->n_args ? f->args[i + 1] : NULL;
    say("%.*s is an option of lsio-lua, and those stand before the script: lsio-lua %s%s%s %s%s",
        word[1] == '-' ? (int)strcspn(word, "=") : 2, word, word, value ? " " : "", value ? value : "",
        f->code ? "-e CODE" : f->script, f->n_args > (value ? 2u : 1u) ? " ..." : "");
    return;
  }
}

/* ---- parsing ---- */

struct words {
  char **at;
  int left;
};

static char *next_word(struct words *w) {
  if (!w->left) return NULL;
  w->left--;
  return *w->at++;
}

/* Needs a value: from behind the '=', or the next word. */
static int option_with(struct flags *f, struct words *w, const struct lsio_setting *row, bool is_own,
                       const char *word, const char *value) {
  char origin[64];
  snprintf(origin, sizeof origin, "--%s", row->name);
  const bool takes = takes_value(row);
  if (takes && !value) {
    value = next_word(w);
    if (!value) {
      say("%s needs a value: %s", word, row->argument);
      return EXIT_USAGE;
    }
    if (is_no_value(value)) {
      say("%s needs a value: %s; %s, which follows, is an option (if it is meant as the value: %s=%s)", word,
          row->argument, value, origin, value);
      return EXIT_USAGE;
    }
  }
  if (value && row->argument && !*value) {
    const bool optional = row->argument[0] == '['; /* "[=yes|no]" */
    const int n = (int)strlen(row->argument) - (optional ? 3 : 0);
    say("%s has an empty value: it takes %.*s", origin, n, row->argument + (optional ? 2 : 0));
    return EXIT_USAGE;
  }
  if (value && (!row->argument || row->argument[1] == 'j')) {
    say("%s takes no value", origin);
    return EXIT_USAGE;
  }
  return is_own ? set_own(f, row->name, value, origin) : add_setting(f, row->name, value ? value : "yes");
}

static int long_option(struct flags *f, struct words *w, const char *word) {
  char name[NAME_MAX_LENGTH + 1];
  const char *equals = strchr(word, '=');
  const size_t n = equals ? (size_t)(equals - word) - 2 : strlen(word) - 2;
  if (n >= sizeof name) return unknown_option(word, "");
  memcpy(name, word + 2, n);
  name[n] = 0;
  const struct lsio_setting *row = find(lsio_settings(), name);
  const bool is_own = !row;
  if (is_own) row = find(own, name);
  if (!row) return unknown_option(word, name);
  return option_with(f, w, row, is_own, word, equals ? equals + 1 : NULL);
}

static int short_option(struct flags *f, struct words *w, const char *word) {
  const char *rest = word[2] ? word + 2 : NULL;
  if (word[1] == 'e') {
    f->code = rest ? rest : next_word(w);
    if (f->code) return 0;
    say("-e needs the code of a job");
    return EXIT_USAGE;
  }
  for (size_t i = 0; i < sizeof letters / sizeof letters[0]; i++) {
    if (letters[i].letter != word[1]) continue;
    const struct lsio_setting *row = find(lsio_settings(), letters[i].name);
    const bool is_own = !row;
    if (is_own) row = find(own, letters[i].name);
    if (rest && *rest == '=') rest++;
    return option_with(f, w, row, is_own, word, rest);
  }
  return unknown_option(word, word + 1);
}

static int finish(struct flags *f, struct words *w) {
  f->args = (const char *const *)w->at;
  f->n_args = (size_t)w->left;
  if (f->action == ACTION_HELP && (f->script || f->code)) f->action = ACTION_SCRIPT_HELP;
  if (f->action != ACTION_RUN) return 0;
  if (!f->script && !f->code) {
    say("no job script\nusage: lsio-lua [options] job.lua [parameters]   (lsio-lua --help tells more)");
    return EXIT_USAGE;
  }
  for (size_t i = 0; i < f->n_args && strcmp(f->args[i], "--") != 0; i++)
    if (strcmp(f->args[i], "--help") == 0) f->action = ACTION_SCRIPT_HELP;
  return 0;
}

int flags_parse(struct flags *f, int argc, char **argv) {
  memset(f, 0, sizeof *f);
  int rc = from_environment(f);
  struct words w = {argv + 1, argc > 0 ? argc - 1 : 0};
  while (!rc && w.left && !f->code) { /* what follows -e CODE belongs to the script */
    const char *word = *w.at;
    if (word[0] != '-' || !word[1]) break;
    next_word(&w);
    if (strcmp(word, "--") == 0) break;
    rc = word[1] == '-' ? long_option(f, &w, word) : short_option(f, &w, word);
  }
  if (rc) return rc;
  if (!f->code) f->script = next_word(&w);
  return finish(f, &w);
}

void flags_free(struct flags *f) {
  for (size_t i = 0; i < f->n_settings; i++) free(f->settings[i]);
  free(f->settings);
}
