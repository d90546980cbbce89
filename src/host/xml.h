/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libvirt's XML. Reading it: a parsed document and questions to it in XPath; never fetches anything
 * from outside the text, and expands no entities. Writing it: as text, with what is put in escaped.
 */
#pragma once

#include <glib.h>
#include <libxml/tree.h>

/* The longest document that is read; libvirt's own are some kilobytes. */
#define STEAD_XML_MAX (4 * 1024 * 1024)

/* NULL with INTERNAL when `text` is not XML; `what` names it in the message. */
xmlDocPtr stead_xml_parse(const char *what, const char *text, GError **error);

/* The string value of the XPath expression (that of the first node, for a node set); NULL when
 * there is no such node or it is empty. Owned by the caller. */
char *stead_xml_string(xmlDocPtr doc, const char *xpath);

/* The number that the expression yields, as for a size in bytes; 0 when there is none. */
guint64 stead_xml_size(xmlDocPtr doc, const char *xpath);

/* The string values of all nodes that match, in document order; never NULL. */
GStrv stead_xml_strings(xmlDocPtr doc, const char *xpath);

/* Appends markup in which the arguments, not the format, are escaped: a name cannot become an
 * element. */
void stead_xml_add(GString *xml, const char *format, ...) G_GNUC_PRINTF(2, 3);

static inline void stead_xml_doc_free(xmlDocPtr doc)
{
    xmlFreeDoc(doc);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(xmlDoc, stead_xml_doc_free)
