// The API reference: the endpoints of /openapi.json with their parameters, bodies and responses.

const METHODS = ["get", "post", "put", "patch", "delete"];

function element(tag, attributes = {}, ...children) {
  const made = Object.assign(document.createElement(tag), attributes);
  made.append(...children);
  return made;
}

const specification = await (await fetch("/openapi.json")).json();

function resolved(schema = {}) {
  const name = schema.$ref?.split("/").pop();
  return name ? specification.components.schemas[name] ?? {} : schema;
}

/** Returns a type with its bounds and choices, such as "number, 0.25 to 4". */
function typeOf(schema) {
  const one = resolved(schema);
  const options = (one.anyOf ?? one.oneOf ?? [one]).map(resolved);
  return options.map((option) => {
    if (option.enum) return option.enum.map((value) => JSON.stringify(value)).join(" | ");
    const [low, high] = [option.minimum ?? option.minLength, option.maximum ?? option.maxLength];
    const kind = option.type === "array" ? `list of ${typeOf(option.items ?? {})}` : option.format ?? option.type ?? "object";
    return kind + (low !== undefined && high !== undefined ? `, ${low} to ${high}` : high !== undefined ? `, up to ${high}` : "");
  }).join(" or ");
}

function table(rows) {
  const head = ["Name", "Type", "Default", "Description"].map((name) => element("th", { scope: "col", textContent: name }));
  return element("table", {}, element("thead", {}, element("tr", {}, ...head)),
    element("tbody", {}, ...rows.map((cells) => element("tr", {}, ...cells.map((text) => element("td", { textContent: text }))))));
}

const shown = (value) => (value === undefined || value === null ? "" : JSON.stringify(value));

function fieldsOf(schema) {
  const { properties = {}, required = [] } = resolved(schema);
  return Object.entries(properties).map(([name, field]) => [name + (required.includes(name) ? " *" : ""), typeOf(field), shown(field.default), field.description ?? resolved(field).description ?? ""]);
}

function body(operation) {
  return Object.entries(operation.requestBody?.content ?? {}).flatMap(([kind, { schema }]) => {
    const rows = fieldsOf(schema);
    return [element("p", { className: "quiet", textContent: `Body: ${kind}` }), ...(rows.length ? [table(rows)] : [])];
  });
}

function details(method, path, operation) {
  const parameters = (operation.parameters ?? []).map((one) => [`${one.name}${one.required ? " *" : ""} (${one.in})`, typeOf(one.schema), shown(one.schema?.default), one.description ?? ""]);
  const responses = Object.entries(operation.responses ?? {}).map(([status, one]) => [status, Object.keys(one.content ?? {}).join(", "), "", one.description ?? ""]);
  return element("details", {}, element("summary", {}, element("b", { textContent: method.toUpperCase() }), element("code", { textContent: path }), ` ${operation.summary ?? ""}`),
    element("p", { textContent: operation.description ?? "" }), ...(parameters.length ? [table(parameters)] : []), ...body(operation),
    element("p", { className: "quiet", textContent: "Responses" }), table(responses));
}

const groups = new Map();
for (const [path, methods] of Object.entries(specification.paths)) {
  for (const method of METHODS.filter((name) => methods[name])) {
    const tag = methods[method].tags?.[0] ?? "other";
    groups.set(tag, [...(groups.get(tag) ?? []), details(method, path, methods[method])]);
  }
}
const place = document.querySelector("#operations");
place.replaceChildren(...[...groups].map(([tag, operations]) => element("section", {}, element("h2", { textContent: tag }), ...operations)));

document.querySelector("#search").addEventListener("input", (event) => {
  const query = event.target.value.trim().toLowerCase();
  for (const section of place.children) {
    for (const one of section.querySelectorAll("details")) one.hidden = !one.textContent.toLowerCase().includes(query);
    section.hidden = ![...section.querySelectorAll("details")].some((one) => !one.hidden);
  }
});
