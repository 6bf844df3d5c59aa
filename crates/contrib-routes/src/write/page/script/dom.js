'use strict';

// Elements of the page, its canvases and its frames. Texts come from strangers: they are only ever set as textContent.

const byId = (id) => document.getElementById(id);

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

const button = (text, attributes = {}) => element('button', text, { type: 'button', ...attributes });

// Of the buttons of a row or a grid, Tab reaches one.
function tabTo(buttons, one) {
  for (const each of buttons) each.tabIndex = each === one ? 0 : -1;
}

// Moves the focus among the buttons of a row or a grid.
function roam(buttons, from, step) {
  const to = buttons[Math.min(buttons.length - 1, Math.max(0, buttons.indexOf(from) + step))];
  tabTo(buttons, to);
  to.focus();
}

// Does a piece of work once in the next frame, however often that is asked for.
const later = ((awaited) => (work) => {
  if (!awaited.has(work)) {
    requestAnimationFrame(() => {
      awaited.delete(work);
      work();
    });
  }
  awaited.add(work);
})(new Set());

// The context of an empty canvas that is as large as its element, in CSS pixels.
function clear(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const [width, height] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext('2d');
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
  context.lineCap = 'round';
  return context;
}
