/* SPDX-License-Identifier: Apache-2.0 */
/* What the strings of specs and records look like: one SteadFormat a kind of string. */
#pragma once

#include "model/field.h"

extern const SteadFormat stead_format_name;
extern const SteadFormat stead_format_image;
extern const SteadFormat stead_format_ipv4;
extern const SteadFormat stead_format_subnet;
extern const SteadFormat stead_format_mac;
extern const SteadFormat stead_format_cpus;
extern const SteadFormat stead_format_bridge;
extern const SteadFormat stead_format_host_name;
extern const SteadFormat stead_format_user;
extern const SteadFormat stead_format_ssh_key;
extern const SteadFormat stead_format_password_hash;
extern const SteadFormat stead_format_path;
extern const SteadFormat stead_format_package;
extern const SteadFormat stead_format_command;
extern const SteadFormat stead_format_user_data;
extern const SteadFormat stead_format_proxy;
extern const SteadFormat stead_format_no_proxy;
extern const SteadFormat stead_format_regex;
extern const SteadFormat stead_format_port; /* the short form of a published port */
extern const SteadFormat stead_format_digest;
extern const SteadFormat stead_format_line; /* any text of one line */
extern const SteadFormat stead_format_text; /* any text */
