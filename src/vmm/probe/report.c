/* SPDX-License-Identifier: Apache-2.0 */
/* JSON by hand: one flat object does not earn a library in a program that runs as root. */
#include "vmm/probe/report.h"

#include <string.h>

static void print_string(const char *text, FILE *out)
{
    fputc('"', out);
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c == '"' || *c == '\\')
            fprintf(out, "\\%c", *c);
        else if (*c < 0x20 || *c >= 0x7f)
            fprintf(out, "\\u%04x", *c);
        else
            fputc(*c, out);
    }
    fputc('"', out);
}

/* In microseconds and whole digits, so that no locale can put a comma into it. */
static void print_number(const char *name, double value, FILE *out)
{
    unsigned long long thousandths = (unsigned long long)(value * 1000 + 0.5);
    if (value > 0)
        fprintf(out, ",\"%s\":%llu.%03llu", name, thousandths / 1000, thousandths % 1000);
    else
        fprintf(out, ",\"%s\":null", name);
}

static void print_failed(const ProbeReport *report, FILE *out)
{
    const char *separator = "";
    fputs(",\"failed\":[", out);
    for (size_t i = 0; i < probe_n_steps; i++) {
        if (!report->is_failed[i])
            continue;
        fputs(separator, out);
        print_string(probe_step_name((int)i), out);
        separator = ",";
    }
    fputc(']', out);
}

int probe_report_print(const ProbeReport *report, FILE *out)
{
    fprintf(out, "{\"status\":\"%s\",\"step\":", probe_status_name(report->status));
    if (report->has_failed)
        print_string(probe_step_name(report->failed), out);
    else
        fputs("null", out);
    fputs(",\"detail\":", out);
    print_string(report->detail, out);
    print_failed(report, out);
    print_number("loop_ms", report->loop_ms, out);
    print_number("host_loop_ms", report->host_loop_ms, out);
    print_number("slowdown", report->slowdown, out);
    fputs("}\n", out);
    return fflush(out) == 0 && !ferror(out) ? 0 : -1;
}

void probe_report_give_up(ProbeReport *report, const char *why)
{
    int step = report->current;
    if (step < 0 || (size_t)step >= probe_n_steps)
        step = 0;
    report->is_failed[step] = true;
    report->status = PROBE_UNUSABLE;
    if (report->has_failed)
        return;
    report->has_failed = true;
    report->failed = step;
    snprintf(report->detail, sizeof report->detail, "%s", why);
}
