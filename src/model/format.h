/* SPDX-License-Identifier: Apache-2.0 */
/* What the strings of specs and records look like: one SteadText a kind of string. */
#pragma once

#include "model/field.h"

extern const SteadText stead_text_name;
extern const SteadText stead_text_image;
extern const SteadText stead_text_ipv4;
extern const SteadText stead_text_subnet;
extern const SteadText stead_text_mac;
extern const SteadText stead_text_cpus;
extern const SteadText stead_text_bridge;
extern const SteadText stead_text_host_name;
extern const SteadText stead_text_user;
extern const SteadText stead_text_ssh_key;
extern const SteadText stead_text_password_hash;
extern const SteadText stead_text_path;
extern const SteadText stead_text_package;
extern const SteadText stead_text_command;
extern const SteadText stead_text_user_data;
extern const SteadText stead_text_proxy;
extern const SteadText stead_text_no_proxy;
extern const SteadText stead_text_regex;
extern const SteadText stead_text_port; /* the short form of a published port */
extern const SteadText stead_text_digest;
extern const SteadText stead_text_line; /* any text of one line */
extern const SteadText stead_text_text; /* any text */
