// Short ways to make and find elements. Text is always set as text, never as HTML.

/** The element of the page with this id. */
export function byId(id) {
  return document.getElementById(id);
}

/** A new element; properties that the element lacks become attributes. */
export function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in element && !key.startsWith("aria")) element[key] = value;
    else element.setAttribute(key, value);
  }
  element.append(...children);
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** A symbol of index.html, for instance "close". */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

/**
 * The element that holds messages, where it can be seen and heard: in the open dialog if there is
 * one, since all that lies outside of it is inert.
 */
export function messages() {
  const host = [...document.querySelectorAll("dialog:modal")].at(-1) ?? document.body;
  const element = byId("messages");
  if (element.parentNode !== host) host.append(element);
  return element;
}

/** Tell screen readers something that is seen elsewhere. */
export function announce(text) {
  messages().querySelector("#status").textContent = text;
}

/** A number of things: "1 photo", "1,200 photos". */
export function count(number, noun) {
  return `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;
}
