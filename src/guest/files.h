/* SPDX-License-Identifier: Apache-2.0 */
/* Files that appear whole under their name, or not at all. */
#pragma once

#include "guest/agent.h"

/* GuestOps.upload, .upload_end and .download. */
int guest_upload(const GuestPut *put, GuestUpload *upload);
int guest_upload_end(GuestUpload *upload, bool is_whole);
int guest_download(const char *path, GuestFile *file);

/* Puts a file with that content in the place of what is there, with its owner where there was one.
 * A file of that mode that is not larger than a page, and neither will be, stays itself, and so
 * does one that is a mount of its own. */
int guest_replace(const char *path, const void *content, size_t length, uint32_t mode);
