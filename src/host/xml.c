/* SPDX-License-Identifier: Apache-2.0 */
/*
 * XPath over libvirt's answers. libvirt itself stands on libxml2, so it is on every host that runs
 * it. Prefixes are not registered: ask for elements of other namespaces by local-name().
 */
#include "host/xml.h"

#include <libxml/parser.h>
#include <libxml/xpath.h>
#include <string.h>

#include "base/error.h"

xmlDocPtr stead_xml_parse(const char *what, const char *text, GError **error)
{
    gsize length = strlen(text);
    if (length > STEAD_XML_MAX) {
        stead_set_error(error, STEAD_ERROR_INTERNAL, NULL, "%s: the XML is longer than %d bytes",
                        what, STEAD_XML_MAX);
        return NULL;
    }
    xmlDocPtr doc = xmlReadMemory(text, (int)length, NULL, NULL,
                                  XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    if (doc == NULL)
        stead_set_error(error, STEAD_ERROR_INTERNAL, NULL, "%s: not well-formed XML", what);
    return doc;
}

static xmlXPathObjectPtr evaluate(xmlDocPtr doc, const char *xpath)
{
    xmlXPathContextPtr context = xmlXPathNewContext(doc);
    if (context == NULL)
        return NULL;
    xmlXPathObjectPtr object = xmlXPathEvalExpression((const xmlChar *)xpath, context);
    xmlXPathFreeContext(context);
    return object;
}

char *stead_xml_string(xmlDocPtr doc, const char *xpath)
{
    xmlXPathObjectPtr object = evaluate(doc, xpath);
    if (object == NULL)
        return NULL;
    xmlChar *value = xmlXPathCastToString(object);
    char *copy = value && *value ? g_strdup((const char *)value) : NULL;
    xmlFree(value);
    xmlXPathFreeObject(object);
    return copy;
}

guint64 stead_xml_size(xmlDocPtr doc, const char *xpath)
{
    g_autofree char *text = stead_xml_string(doc, xpath);
    return text ? g_ascii_strtoull(text, NULL, 10) : 0;
}

GStrv stead_xml_strings(xmlDocPtr doc, const char *xpath)
{
    GPtrArray *found = g_ptr_array_new();
    xmlXPathObjectPtr object = evaluate(doc, xpath);
    int n = object && object->nodesetval ? object->nodesetval->nodeNr : 0;
    for (int i = 0; i < n; i++) {
        xmlChar *value = xmlXPathCastNodeToString(object->nodesetval->nodeTab[i]);
        g_ptr_array_add(found, g_strdup((const char *)value));
        xmlFree(value);
    }
    xmlXPathFreeObject(object);
    g_ptr_array_add(found, NULL);
    return (GStrv)g_ptr_array_free(found, FALSE);
}

void stead_xml_add(GString *xml, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_markup_vprintf_escaped(format, args);
    va_end(args);
    g_string_append(xml, text);
}
