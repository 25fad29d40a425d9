"use strict";

// Shows /openapi.json. Every text is set as text, never as markup.

const METHODS = ["get", "post", "put", "patch", "delete"];

function element(name, attributes, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (key === "class") node.className = value;
    else node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

function resolve(spec, schema) {
  const reference = schema && schema.$ref;
  return reference ? spec.components.schemas[reference.split("/").pop()] : schema;
}

function typeName(schema) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  const some = schema.oneOf || schema.anyOf;
  if (some) return some.map(typeName).join(" or ");
  const types = [].concat(schema.type || "any").join(" or ");
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(", ");
  return schema.items ? `${types} of ${typeName(schema.items)}` : types;
}

function limits(schema) {
  const words = { minLength: "at least {} characters", maxLength: "at most {} characters", minimum: "at least {}",
    maximum: "at most {}", minItems: "at least {} items", maxItems: "at most {} items", pattern: "pattern {}" };
  return Object.entries(words)
    .filter(([key]) => schema && schema[key] !== undefined)
    .map(([key, text]) => text.replace("{}", schema[key]))
    .join(", ");
}

function fields(spec, schema, depth = 0) {
  const whole = resolve(spec, schema);
  if (!whole || !whole.properties || depth > 4) return null;
  const rows = Object.entries(whole.properties).map(([name, property]) => {
    const inner = property.items || property;
    const nested = inner.$ref ? fields(spec, inner, depth + 1) : null;
    const needed = (whole.required || []).includes(name) ? " (needed)" : "";
    const about = element("td", {}, property.description || "", " ", limits(property));
    if (nested) about.append(nested);
    return element("tr", {}, element("td", {}, element("code", {}, name), needed), element("td", {}, typeName(property)), about);
  });
  return element("table", {}, ...rows);
}

function content(spec, body) {
  const media = body && body.content && Object.values(body.content)[0];
  if (!media) return null;
  return fields(spec, media.schema) || element("p", {}, typeName(media.schema));
}

function operation(spec, path, method, data) {
  const inside = element("div", { class: "inside" });
  if (data.description) inside.append(element("p", {}, data.description));
  const open = (data.security || []).some((one) => Object.keys(one).length === 0);
  inside.append(element("p", {}, open ? "Needs no credential." : "Needs Authorization: Bearer."));
  if (data.parameters && data.parameters.length) {
    const rows = data.parameters.map((parameter) => element("tr", {},
      element("td", {}, element("code", {}, parameter.name)),
      element("td", {}, `${parameter.in}, ${typeName(parameter.schema)}`),
      element("td", {}, parameter.description || "")));
    inside.append(element("h4", {}, "Parameters"), element("table", {}, ...rows));
  }
  if (data.requestBody) inside.append(element("h4", {}, "Body"), content(spec, data.requestBody) || "");
  for (const [status, response] of Object.entries(data.responses || {})) {
    inside.append(element("h4", {}, `${status} — ${response.description}`));
    if (Number(status) < 300) inside.append(content(spec, response) || "");
  }
  const summary = element("summary", {},
    element("span", { class: "method" }, method.toUpperCase()),
    element("code", { class: "path" }, path),
    element("span", { class: "says" }, data.summary || ""));
  return element("details", { "data-search": `${method} ${path} ${data.summary} ${data.tags}`.toLowerCase() }, summary, inside);
}

function show(spec) {
  document.getElementById("title").textContent = `${spec.info.title} API ${spec.info.version}`;
  const about = document.getElementById("about");
  about.replaceChildren(...(spec.info.description || "").split("\n\n").map((text) => element("p", {}, text)));
  const groups = new Map();
  for (const [path, item] of Object.entries(spec.paths)) {
    for (const method of METHODS.filter((name) => item[name])) {
      const tag = (item[method].tags || ["other"])[0];
      if (!groups.has(tag)) groups.set(tag, []);
      groups.get(tag).push(operation(spec, path, method, item[method]));
    }
  }
  const sections = [...groups].map(([tag, list]) => element("section", {}, element("h2", {}, tag), ...list));
  document.getElementById("routes").replaceChildren(...sections);
}

function filter(text) {
  const wanted = text.trim().toLowerCase();
  for (const section of document.querySelectorAll("section")) {
    let shown = 0;
    for (const entry of section.querySelectorAll(":scope > details")) {
      entry.hidden = !entry.dataset.search.includes(wanted);
      shown += entry.hidden ? 0 : 1;
    }
    section.hidden = shown === 0;
  }
}

document.getElementById("filter").addEventListener("input", (event) => filter(event.target.value));
fetch("/openapi.json")
  .then((response) => response.json())
  .then(show)
  .catch(() => {
    document.getElementById("routes").textContent = "The document cannot be read. Is the server running?";
  });
