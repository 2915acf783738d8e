/* file.h -- a text into a file, whole or with a sentence. */
#ifndef FILE_H
#define FILE_H

/* Dies unless the file can be written; leaves one that is there as it is, and none behind. */
void file_check(const char *path);

/* Dies when anything could not be written. */
void file_write(const char *path, const char *text);

#endif
