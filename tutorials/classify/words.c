/* words.c -- the words of tutorials/data/harbour_letters.txt, three times. */
#include "words.h"

#include "../common/read.h"
#include "../common/say.h"

#include <seqgrad/seqgrad.h>

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { WRITTEN, BACKWARDS, SHUFFLED, FORMS, LEAST = 4, MOST = 32 };

static bool known(const pieces *p, const char *word)
{
    for (int64_t i = 0; i < p->n; i++)
        if (!strcmp(p->piece[i].text, word)) return true;
    return false;
}

static void turn(const char *word, int64_t n, char *into)
{
    for (int64_t i = 0; i < n; i++) into[i] = word[n - 1 - i];
    into[n] = 0;
}

/* Fisher and Yates, again until it is a third form. A word that is not the same backwards has one when it
 * has four letters. */
static void shuffle(const char *word, const char *turned, int64_t n, uint64_t which, char *into)
{
    sq_random coins = sq_random_stream(0x3f, which, 0, 0);
    uint64_t tosses = 0;
    do {
        memcpy(into, word, (size_t)n + 1);
        for (int64_t i = n - 1; i > 0; i--) {
            int64_t k = (int64_t)(sq_random_uniform(coins, 0, tosses++) * (double)(i + 1));
            char c = into[i];
            into[i] = into[k];
            into[k] = c;
        }
    } while (!strcmp(into, word) || !strcmp(into, turned));
}

static void add_word(pieces *form, const char *word, int64_t n)
{
    char turned[MOST + 1], shuffled[MOST + 1];
    turn(word, n, turned);
    if (!strcmp(word, turned) || known(&form[WRITTEN], word)) return;
    shuffle(word, turned, n, (uint64_t)form[WRITTEN].n, shuffled);
    pieces_add(&form[WRITTEN], word, n, WRITTEN);
    pieces_add(&form[BACKWARDS], turned, n, BACKWARDS);
    pieces_add(&form[SHUFFLED], shuffled, n, SHUFFLED);
}

void words_read(data *d)
{
    static const char *const names[FORMS] = { "written", "backwards", "shuffled" };
    size_t size;
    pieces form[FORMS] = { 0 };
    char *path = file_bundled("harbour_letters.txt"), *text = file_read(path, &size);
    for (char *s = text; *s;) {
        char word[MOST + 1];
        int64_t n = 0;
        for (; isalpha((unsigned char)*s); s++)
            if (n < MOST) word[n++] = (char)tolower((unsigned char)*s);
        word[n] = 0;
        if (n >= LEAST) add_word(form, word, n);
        if (*s) s++;
    }
    if (form[WRITTEN].n < 10) die("%s has hardly any words", path);
    for (int32_t k = 0; k < FORMS; k++) {
        d->name[k] = take(strlen(names[k]) + 1, 1);
        strcpy(d->name[k], names[k]);
        data_deal(d, &form[k]);
    }
    d->n_classes = FORMS;
    free(text);
    free(path);
}
