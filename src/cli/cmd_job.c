/* SPDX-License-Identifier: Apache-2.0 */
/* stead job: the long operations of the daemon. */
#include "cli/commands.h"

#include "cli/collection.h"
#include "cli/json.h"

static char *note_cell(JsonNode *job)
{
    const char *error = stead_json_text(job, "error.message");
    return g_strdup(error ? error : stead_json_text(job, "stage"));
}

static const SteadColumn columns[] = {
    {"ID", "id", STEAD_CELL_TEXT},
    {"TYPE", "type", STEAD_CELL_TEXT},
    {"SUBJECT", "subject", STEAD_CELL_TEXT},
    {"STATE", "state", STEAD_CELL_STATE},
    {"DONE", "progress", STEAD_CELL_PERCENT},
    {"AGE", "created", STEAD_CELL_AGE},
    {"NOTE", NULL, STEAD_CELL_FUNCTION, note_cell},
    {NULL},
};

static const SteadColumn fields[] = {
    {"Id", "id", STEAD_CELL_TEXT},
    {"Type", "type", STEAD_CELL_TEXT},
    {"Subject", "subject", STEAD_CELL_TEXT},
    {"State", "state", STEAD_CELL_STATE},
    {"Stage", "stage", STEAD_CELL_TEXT},
    {"Done", "progress", STEAD_CELL_PERCENT},
    {"Error", "error.message", STEAD_CELL_TEXT},
    {"Hint", "error.hint", STEAD_CELL_TEXT},
    {"Created", "created", STEAD_CELL_TIME},
    {"Finished", "finished", STEAD_CELL_TIME},
    {NULL},
};

static const SteadCollection jobs = {.path = "jobs", .fields = fields, .at_once = TRUE};

static int run_ls(SteadCall *call, GError **error)
{
    gboolean all = stead_call_flag(call, "all");
    return stead_table_list(call, all ? "/v1/jobs" : "/v1/jobs?active=1", columns,
                            all ? NULL
                                : "Nothing is under way; 'stead job ls --all' shows what "
                                  "was.",
                            NULL, error);
}

static const SteadArgument arguments[] = {
    {.name = "JOB", .doc = "the job's id", .complete = STEAD_COMPLETE_JOB},
    {NULL},
};

static const SteadOption ls_options[] = {
    {.name = "all", .letter = 'a', .doc = "also those that have ended"},
    STEAD_FORMAT_OPTION,
    {NULL},
};

const SteadCommand stead_cmd_job = {
    .name = "job",
    .section = STEAD_SECTION_HOST,
    .summary = "List, show and cancel the daemon's jobs",
};

const SteadCommand stead_cmd_job_ls = {
    .name = "job ls",
    .section = STEAD_SECTION_HOST,
    .summary = "List the jobs under way",
    .options = ls_options,
    .run = run_ls,
};

const SteadCommand stead_cmd_job_show = {
    .name = "job show",
    .section = STEAD_SECTION_HOST,
    .summary = "Show a job",
    .arguments = arguments,
    .options = stead_format_options,
    .collection = &jobs,
    .run = stead_collection_show,
};

const SteadCommand stead_cmd_job_cancel = {
    .name = "job cancel",
    .section = STEAD_SECTION_HOST,
    .summary = "Cancel a job; what it had half-done is undone",
    .arguments = arguments,
    .collection = &jobs,
    .run = stead_collection_remove,
};
