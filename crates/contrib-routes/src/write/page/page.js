'use strict';

// What is shown, and the controls that change it. Texts come from strangers: they are only ever set as textContent.

const byId = (id) => document.getElementById(id);
const graph = new Graph(JSON.parse(byId('routes').textContent));
const picture = new Picture(graph, byId('picture'), byId('overlay'));

// The most columns of the first view.
const MOST_COLUMNS = 2000;
// With more positions than these, only columns on routes are shown at first, and the whole prompt below.
const FEW_POSITIONS = 40;
const LISTED = 40;

const lastTarget = graph.targets.at(-1) ?? graph.nPos - 1;
const state = {
  threshold: graph.threshold,
  target: lastTarget, // or null: all
  leftOut: new Uint8Array(graph.nLayers * graph.nHeads),
  layers: [0, graph.nLayers - 1],
  tokens: [Math.max(0, Math.min(lastTarget + 1, graph.nPos) - MOST_COLUMNS), Math.min(lastTarget, graph.nPos - 1)],
  onlyReached: graph.nPos > FEW_POSITIONS,
  node: -1, // in the details
};
if (graph.nPos <= MOST_COLUMNS) state.tokens = [0, graph.nPos - 1];
let routes;
let colours;

// --- Texts ---

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

// A token as text of its own direction; without the space before it where `isShort`.
function tokenText(position, isShort = false) {
  const text = graph.tokens[position] ?? `${position}`;
  const bdi = element('bdi', isShort && text.length > 1 ? text.replace(/^␣/, '') : text);
  if (text.length > 60) bdi.className = 'long';
  return bdi;
}

function percent(share) {
  if (share > 0 && share < 0.001) return '< 0.1 %';
  return `${(100 * share).toFixed(share >= 0.0995 ? 0 : 1)} %`;
}

const largest = (shares) => shares.reduce((most, share) => Math.max(most, share), 1e-9);

function nodeName(node) {
  const [layer, kind] = [graph.layer[node], graph.kind[node]];
  return kind === NODE.embedding ? 'embedding' : `${NODE_NAMES[kind]}, layer ${layer}`;
}

function edgeName(edge) {
  const head = graph.head[edge];
  return head < graph.nHeads ? `h${head}` : EDGE_NAMES[graph.edgeKind[edge]];
}

function writeHeading() {
  const [title, target] = [byId('title'), state.target];
  const next = graph.nextTokens[0];
  const isPredicted = target === graph.nPos - 1 && next;
  if (target === null) title.replaceChildren(`Where ${graph.possibleTargets.length} predictions came from`);
  else if (isPredicted) title.replaceChildren('Where “', element('bdi', next[0].replace(/^␣(?=.)/u, '')), '” came from');
  else title.replaceChildren('Where the prediction after “', tokenText(target, true), '” came from');
  document.title = title.textContent;
  byId('prompt').replaceChildren(element('bdi', graph.prompt ?? ''));
  byId('model').textContent = graph.model ?? '';
  const box = byId('prediction');
  box.hidden = target === null || picture.columnOf[target] < 0 || state.layers[1] !== graph.nLayers - 1;
  byId('predicted').textContent = isPredicted ? next[0].replace(/^␣(?=.)/u, '') : 'prediction';
  byId('probability').textContent = isPredicted ? `p = ${next[1].toFixed(2)}` : `after position ${target}`;
  if (box.hidden) return;
  const width = byId('canvases').clientWidth;
  box.style.left = `${Math.min(width - 118, Math.max(2, picture.x(target) - 58))}px`;
  box.style.top = `${Math.max(4, picture.yBefore(graph.nLayers) - 54)}px`;
}

// --- From the state to the page ---

const possibleTargets = new Set(graph.possibleTargets);

// Routes anew, after a change of threshold, target or heads.
function recompute() {
  const targets = state.target === null ? [...graph.possibleTargets] : [state.target];
  routes = graph.routesTo(targets, state.threshold, state.leftOut);
  if (state.node >= 0 && !routes.isReached[state.node]) state.node = -1;
  byId('threshold-number').value = state.threshold;
  byId('target').value = state.target ?? '';
  paintHeads();
  refresh();
}

function columns() {
  const [first, last] = state.tokens;
  const isReached = routes.positions();
  const all = Array.from({ length: last - first + 1 }, (_, i) => first + i);
  return state.onlyReached ? all.filter((position) => isReached[position] || position === state.target) : all;
}

// The picture anew.
function refresh() {
  hideTooltip();
  for (const [name, [first, last]] of [['layer', state.layers], ['token', state.tokens]]) {
    byId(`${name}-first`).value = first;
    byId(`${name}-last`).value = last;
  }
  const shown = columns();
  // The row of tokens decides how high the picture is.
  byId('tokens').classList.toggle('slanted', shown.length * 62 > byId('stage').clientWidth - 80);
  picture.show(routes, shown, ...state.layers);
  const leftOut = picture.draw(colours);
  const count = (number) => number.toLocaleString('en');
  byId('counts').textContent =
    `${count(routes.edges.length)} of ${count(graph.edges)} edges, ${count(routes.reached)} nodes` +
    (leftOut ? `; the weakest ${count(leftOut)} lines are not drawn` : '');
  byId('counts').dataset.edges = routes.edges.length;
  writeTokens(shown);
  writeHeading();
  drawOverview();
  writeDetails();
}

let isAwaited = false;

// Once a frame, however often a slider moves.
function later(work) {
  if (isAwaited) return;
  isAwaited = true;
  requestAnimationFrame(() => {
    isAwaited = false;
    work();
  });
}

// --- Tokens ---

// Those for which there is room, the strongest first, and the target always.
function labelled(shown) {
  const apart = Math.ceil(17 / picture.column);
  if (apart <= 1) return shown.map((_, column) => column);
  const strength = (column) => (shown[column] === state.target ? 2 : routes.tokenShares[shown[column]]);
  const order = shown.map((_, column) => column).sort((one, other) => strength(other) - strength(one) || one - other);
  const taken = new Uint8Array(shown.length);
  const kept = order.filter((column) => {
    if (taken.subarray(Math.max(0, column - apart + 1), column + apart).includes(1)) return false;
    return (taken[column] = 1);
  });
  return kept.sort((one, other) => one - other);
}

function writeTokens(shown) {
  const row = byId('tokens');
  const focused = row.contains(document.activeElement) ? Number(document.activeElement.dataset.position) : null;
  const isSlanted = row.classList.contains('slanted');
  const buttons = labelled(shown).map((column) => {
    const position = shown[column];
    const share = routes.tokenShares[position];
    const button = element('button', '', { type: 'button', 'data-position': position });
    button.append(tokenText(position, true));
    if (!picture.isFaint(share)) {
      button.className = 'reached';
      if (share >= 0.001) button.append(element('span', ` ${percent(share)}`));
    }
    const can = possibleTargets.has(position) ? '' : ' (no routes were found to it)';
    button.setAttribute('aria-label', `${graph.tokens[position] ?? ''}, position ${position}, ${percent(share)}${can}`);
    button.setAttribute('aria-pressed', position === state.target);
    button.tabIndex = position === (focused ?? state.target) ? 0 : -1;
    const x = picture.left + picture.column * (column + 0.5);
    if (isSlanted) {
      button.style.left = `${x - 112 + 4}px`;
    } else {
      button.style.width = `${picture.column - 2}px`;
      button.style.left = `${x - picture.column / 2 + 1}px`;
    }
    return button;
  });
  if (buttons.length && !buttons.some((button) => button.tabIndex === 0)) buttons.at(-1).tabIndex = 0;
  row.replaceChildren(...buttons);
  if (focused !== null) (buttons.find((button) => button.tabIndex === 0) ?? row).focus();
}

// Moves the focus among the buttons of a row or a grid.
function roam(buttons, from, step) {
  const to = buttons[Math.min(buttons.length - 1, Math.max(0, buttons.indexOf(from) + step))];
  for (const button of buttons) button.tabIndex = button === to ? 0 : -1;
  to.focus();
}

function choose(position) {
  if (possibleTargets.has(position)) {
    state.target = position;
    byId('all-targets').checked = false;
    recompute();
  } else {
    const node = graph.find(0, NODE.embedding, position);
    select(node >= 0 && routes.isReached[node] ? node : -1);
  }
}

byId('tokens').addEventListener('click', (event) => {
  const button = event.target.closest('button');
  if (button) choose(Number(button.dataset.position));
});
byId('tokens').addEventListener('keydown', (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
  const button = event.target.closest('button');
  if (!step || !button) return;
  event.preventDefault();
  roam([...byId('tokens').children], button, step);
});

// --- Threshold, target, windows ---

const leastWeight = graph.weight.reduce((least, weight) => Math.min(least, weight), 1);
const leastThreshold = Math.max(graph.threshold, Math.min(leastWeight, 0.5), 1e-6);

// The slider is logarithmic; its left end is the threshold of the routes themselves.
byId('threshold').addEventListener('input', () => {
  const at = Number(byId('threshold').value) / 1000;
  const value = Number((leastThreshold ** (1 - at)).toPrecision(3));
  state.threshold = at === 0 ? graph.threshold : Math.max(graph.threshold, value);
  later(recompute);
});
byId('threshold-number').addEventListener('change', () => {
  const value = Number(byId('threshold-number').value);
  state.threshold = Math.min(1, Math.max(graph.threshold, value || 0));
  const at = leastThreshold < 1 ? 1 - Math.log(Math.max(state.threshold, leastThreshold)) / Math.log(leastThreshold) : 0;
  byId('threshold').value = Math.round(1000 * at);
  recompute();
});

function stepTarget(step) {
  const targets = graph.possibleTargets;
  const at = targets.findIndex((target) => target >= (state.target ?? lastTarget));
  choose(targets[Math.min(targets.length - 1, Math.max(0, at + step))]);
}
byId('target-before').addEventListener('click', () => stepTarget(-1));
byId('target-after').addEventListener('click', () => stepTarget(1));
byId('target').addEventListener('change', () => {
  const position = Number(byId('target').value);
  if (possibleTargets.has(position)) choose(position);
  else byId('target').value = state.target ?? '';
});
byId('all-targets').addEventListener('change', (event) => {
  state.target = event.target.checked ? null : lastTarget;
  recompute();
});

// A range of layers or of positions; what is not in it is brought in.
function setRange(name, first, last) {
  const end = name === 'layers' ? graph.nLayers - 1 : graph.nPos - 1;
  first = Math.min(end, Math.max(0, Math.round(first) || 0));
  state[name] = [first, Math.min(end, Math.max(first, Math.round(last) || 0))];
  refresh();
}
for (const [name, id] of [['layers', 'layer'], ['tokens', 'token']]) {
  const read = () => setRange(name, Number(byId(`${id}-first`).value), Number(byId(`${id}-last`).value));
  byId(`${id}-first`).addEventListener('change', read);
  byId(`${id}-last`).addEventListener('change', read);
  byId(`${name}-all`).addEventListener('click', () => setRange(name, 0, Infinity));
}
byId('reached').checked = state.onlyReached;
byId('reached').addEventListener('change', (event) => {
  state.onlyReached = event.target.checked;
  refresh();
});

// --- The whole prompt, and the window of it that is shown ---

const overview = byId('overview');
overview.hidden = graph.nPos <= FEW_POSITIONS;

function drawOverview() {
  if (overview.hidden) return;
  const context = picture.clear(overview);
  const [width, height] = [overview.clientWidth, overview.clientHeight];
  const each = width / graph.nPos;
  const [first, last] = state.tokens;
  context.fillStyle = colours.chosen;
  context.fillRect(first * each, 0, Math.max(3, (last - first + 1) * each), height);
  context.strokeStyle = colours.stream;
  context.strokeRect(first * each + 0.5, 0.5, Math.max(3, (last - first + 1) * each) - 1, height - 1);
  const isReached = routes.positions();
  const most = largest(routes.tokenShares);
  for (let position = 0; position < graph.nPos; position++) {
    if (!isReached[position]) continue;
    const tall = Math.max(3, Math.sqrt(routes.tokenShares[position] / most) * (height - 4));
    context.fillStyle = position === state.target ? colours.attention : colours.stream;
    context.fillRect(position * each, height - tall, Math.max(1, each - 0.5), tall);
  }
  overview.setAttribute('aria-valuemax', graph.nPos - 1);
  overview.setAttribute('aria-valuenow', first);
  overview.setAttribute('aria-valuetext', `positions ${first} to ${last}`);
}

function moveWindow(by) {
  const [first, last] = state.tokens;
  const start = Math.min(graph.nPos - 1 - (last - first), Math.max(0, first + by));
  setRange('tokens', start, start + last - first);
}

function zoomWindow(factor) {
  const [first, last] = state.tokens;
  const half = Math.max(2, ((last - first + 1) * factor) / 2);
  const middle = (first + last) / 2;
  setRange('tokens', middle - half, middle + half);
}

// Dragging the window moves it; dragging beside it marks a new one.
overview.addEventListener('pointerdown', (down) => {
  const at = (event) => ((event.clientX - overview.getBoundingClientRect().left) / overview.clientWidth) * graph.nPos;
  const start = at(down);
  const [first, last] = state.tokens;
  const isWhole = first === 0 && last === graph.nPos - 1;
  const moves = start >= first && start <= last + 1 && !isWhole;
  overview.setPointerCapture(down.pointerId);
  const move = (event) => {
    const to = at(event);
    if (!moves) setRange('tokens', Math.floor(Math.min(start, to)), Math.floor(Math.max(start, to)));
    else moveWindow(Math.round(first + to - start) - state.tokens[0]);
  };
  overview.addEventListener('pointermove', move);
  overview.addEventListener('pointerup', () => overview.removeEventListener('pointermove', move), { once: true });
});
overview.addEventListener('keydown', (event) => {
  const by = Math.max(1, Math.round((state.tokens[1] - state.tokens[0]) / 4));
  const step = { ArrowLeft: -by, ArrowRight: by, PageDown: -4 * by, PageUp: 4 * by, Home: -Infinity, End: Infinity }[event.key];
  if (step) moveWindow(Number.isFinite(step) ? step : Math.sign(step) * graph.nPos);
  else if (event.key === '+') zoomWindow(0.5);
  else if (event.key === '-') zoomWindow(2);
  else return;
  event.preventDefault();
});

// --- Heads ---

const hasHeads = graph.heads === 'each';
const headButtons = [];
byId('heads-section').hidden = !hasHeads;

function buildHeads() {
  for (let layer = graph.nLayers - 1; layer >= 0; layer--) {
    const row = element('div', '');
    const all = element('button', layer, { type: 'button', class: 'layer', 'data-layer': layer });
    all.setAttribute('aria-label', `All heads of layer ${layer}`);
    row.append(all);
    headButtons.push(all);
    for (let head = 0; head < graph.nHeads; head++) {
      const button = element('button', '', { type: 'button', 'data-layer': layer, 'data-head': head });
      row.append(button);
      headButtons.push(button);
    }
    byId('heads').append(row);
  }
  for (const button of headButtons) button.tabIndex = -1;
  headButtons[0].tabIndex = 0;
}

function paintHeads() {
  if (!hasHeads) return;
  const most = largest(routes.headShares);
  for (const button of headButtons) {
    const { layer, head } = button.dataset;
    if (head === undefined) continue;
    const index = layer * graph.nHeads + Number(head);
    const share = routes.headShares[index];
    button.setAttribute('aria-pressed', !state.leftOut[index]);
    button.style.setProperty('--share', Math.sqrt(share / most).toFixed(3));
    button.setAttribute('aria-label', `Layer ${layer}, head ${head}: ${percent(share)}`);
  }
}

byId('heads').addEventListener('click', (event) => {
  const { layer, head } = event.target.closest('button')?.dataset ?? {};
  if (layer === undefined) return;
  const first = layer * graph.nHeads;
  if (head === undefined) {
    const of = state.leftOut.subarray(first, first + graph.nHeads);
    of.fill(of.includes(0) ? 1 : 0);
  } else {
    state.leftOut[first + Number(head)] ^= 1;
  }
  recompute();
});
byId('heads').addEventListener('keydown', (event) => {
  const row = graph.nHeads + 1;
  const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -row, ArrowDown: row }[event.key];
  if (!step) return;
  event.preventDefault();
  roam(headButtons, event.target.closest('button'), step);
});
// A head's lines, while the pointer or the focus is on it.
function showHead(event) {
  const { layer, head } = event.target.dataset ?? {};
  if (head === undefined) return;
  const isOf = (line) => graph.layer[line.to] === Number(layer) && picture.heads(line).includes(Number(head));
  const lines = routes.lines.filter((line) => line.kind === EDGE.attention && isOf(line));
  picture.highlight(colours, -1, lines);
  const share = routes.headShares[layer * graph.nHeads + Number(head)];
  showTooltip([`layer ${layer}, h${head}: ${percent(share)} of the flow, ${lines.length} lines`], event.target.getBoundingClientRect());
}
byId('heads').addEventListener('pointerover', showHead);
byId('heads').addEventListener('focusin', showHead);
for (const leaves of ['pointerleave', 'focusout']) byId('heads').addEventListener(leaves, () => emphasise());
byId('heads-on').addEventListener('click', () => {
  state.leftOut.fill(0);
  recompute();
});
byId('heads-off').addEventListener('click', () => {
  state.leftOut.fill(1);
  recompute();
});

// --- Details ---

function select(node) {
  state.node = node;
  writeDetails();
}

// What is chosen, drawn over the picture.
function emphasise() {
  hideTooltip();
  picture.highlight(colours, state.node, state.node < 0 ? [] : routes.linesTo(state.node).filter((line) => line.kind === EDGE.attention));
}

// A list of things with strengths, each a button.
function list(title, items, colour) {
  const ol = element('ol', '');
  for (const { parts, value, share, onClick } of items.slice(0, LISTED)) {
    const button = element('button', '', { type: 'button' });
    const name = element('span', '');
    name.append(...parts);
    button.append(name, element('span', value));
    button.style.setProperty('--share', Math.min(1, share));
    if (colour) button.style.setProperty('--colour', `var(--${colour})`);
    button.addEventListener('click', onClick);
    const li = element('li', '');
    li.append(button);
    ol.append(li);
  }
  if (items.length > LISTED) ol.append(element('li', `and ${items.length - LISTED} more`, { class: 'pale' }));
  return [element('h2', title), ol];
}

// The edges of lines, one for each head, and the node at one of their ends.
function edgeItems(lines, end) {
  const edges = lines.flatMap((line) => Array.from(routes.edgesOf(line), (edge) => [edge, line[end]]));
  edges.sort(([one], [other]) => graph.weight[other] - graph.weight[one]);
  return edges.map(([edge, node]) => ({
    parts: [tokenText(graph.position[node]), element('span', `${edgeName(edge)}, ${nodeName(node)}`, { class: 'pale' })],
    value: graph.weight[edge].toFixed(3),
    share: graph.weight[edge],
    onClick: () => select(node),
  }));
}

function writeDetails() {
  emphasise();
  const [details, node] = [byId('details'), state.node];
  if (node >= 0) {
    const head = element('h2', '');
    head.append(tokenText(graph.position[node]), element('small', ` ${nodeName(node)}`));
    const facts = element('p', `position ${graph.position[node]}, ${percent(routes.shareOf(node))} of the flow`);
    const close = element('button', 'Summary', { type: 'button' });
    close.addEventListener('click', () => select(-1));
    const [parts, wholes] = [edgeItems(routes.linesTo(node), 'from'), edgeItems(routes.linesFrom(node), 'to')];
    details.replaceChildren(head, facts, ...list(parts.length ? 'Made of' : 'Made of nothing above the threshold', parts));
    details.append(...(wholes.length ? list('Part of', wholes, 'attention') : []), close);
    return;
  }
  const tokens = Array.from(routes.tokenShares, (share, position) => ({ share, position }))
    .filter(({ share }) => share > 0)
    .sort((one, other) => other.share - one.share)
    .slice(0, 10);
  const ofToken = ({ share, position }) => ({
    parts: [tokenText(position), element('span', position, { class: 'pale' })],
    value: percent(share),
    share,
    onClick: () => select(graph.find(0, NODE.embedding, position)),
  });
  const next = graph.nextTokens.map(([token, probability]) => ({
    parts: [element('bdi', token)],
    value: percent(probability),
    share: probability,
    onClick: () => select(graph.find(graph.nLayers - 1, NODE.residPost, graph.nPos - 1)),
  }));
  details.replaceChildren(...list('The flow comes from', tokens.map(ofToken)));
  if (next.length && state.target === graph.nPos - 1) details.prepend(...list('The model predicts', next, 'bias'));
}

// --- Pointer and keys in the picture ---

const tooltip = byId('tooltip');

function hideTooltip() {
  tooltip.hidden = true;
}

function showTooltip(parts, { right, top }) {
  tooltip.replaceChildren(...parts);
  tooltip.hidden = false;
  const left = right + 12 + tooltip.offsetWidth > window.innerWidth ? right - tooltip.offsetWidth - 24 : right + 12;
  tooltip.style.left = `${Math.max(4, left)}px`;
  tooltip.style.top = `${Math.max(4, Math.min(top, window.innerHeight - tooltip.offsetHeight - 8))}px`;
}

function describe({ node, line }) {
  if (line === undefined) {
    return [tokenText(graph.position[node]), ` position ${graph.position[node]}, ${nodeName(node)}: ${percent(routes.shareOf(node))} of the flow`];
  }
  const weights = Array.from(routes.edgesOf(line), (edge) => `${edgeName(edge)} ${graph.weight[edge].toFixed(3)}`);
  const [from, to] = [tokenText(graph.position[line.from]), tokenText(graph.position[line.to])];
  return ['attention, layer ', `${graph.layer[line.to]}: `, from, ' → ', to, `: ${weights.join(', ')}; ${percent(line.share)} of the flow`];
}

const overlay = byId('overlay');

function under(event) {
  const box = overlay.getBoundingClientRect();
  return picture.find(event.clientX - box.left, event.clientY - box.top);
}

overlay.addEventListener('pointermove', (event) => {
  const found = under(event);
  overlay.style.cursor = found ? 'pointer' : 'default';
  if (!found) return emphasise();
  picture.highlight(colours, found.node ?? -1, found.line ? [found.line] : []);
  showTooltip(describe(found), { right: event.clientX, top: event.clientY + 12 });
});
overlay.addEventListener('pointerleave', emphasise);
overlay.addEventListener('click', (event) => {
  const found = under(event);
  select(found ? (found.node ?? found.line.from) : -1);
});

// The nodes on the routes in a column, from the bottom up.
function nodesAt(position) {
  const nodes = [];
  for (let node = graph.nodes - 1; node >= 0; node--) {
    if (graph.position[node] === position && routes.isReached[node] && picture.isShown(node)) nodes.push(node);
  }
  return nodes.sort((one, other) => picture.at(other)[1] - picture.at(one)[1]);
}

function neighbour(key) {
  const target = state.target ?? lastTarget;
  const last = graph.find(graph.nLayers - 1, NODE.residPost, target);
  if (state.node < 0) return routes.isReached[last] && picture.isShown(last) ? last : (nodesAt(target).at(-1) ?? -1);
  const position = graph.position[state.node];
  if (key === 'ArrowUp' || key === 'ArrowDown') {
    const column = nodesAt(position);
    return column[column.indexOf(state.node) + (key === 'ArrowUp' ? 1 : -1)] ?? state.node;
  }
  if (key === 'Enter') {
    const parts = routes.linesTo(state.node).filter((line) => picture.isShown(line.from));
    return parts.sort((one, other) => other.weight - one.weight)[0]?.from ?? state.node;
  }
  const step = key === 'ArrowLeft' ? -1 : 1;
  const y = picture.at(state.node)[1];
  for (let column = picture.columnOf[position] + step; picture.columns[column] !== undefined; column += step) {
    const nodes = nodesAt(picture.columns[column]);
    const apart = (node) => Math.abs(picture.at(node)[1] - y);
    if (nodes.length) return nodes.reduce((best, node) => (apart(node) < apart(best) ? node : best));
  }
  return state.node;
}

// Layers around the chosen node, or around the middle.
function zoomLayers(factor) {
  const [first, last] = state.layers;
  const middle = state.node >= 0 ? graph.layer[state.node] : (first + last) / 2;
  const half = ((last - first) * factor) / 2 + (factor > 1 ? 1 : 0);
  setRange('layers', Math.ceil(middle - half), Math.floor(middle + half));
}

overlay.addEventListener('keydown', (event) => {
  if (event.key === '+' || event.key === '-') zoomLayers(event.key === '+' ? 0.5 : 2);
  else if (event.key === 'Escape') select(-1);
  else if (['ArrowUp', 'ArrowDown', 'ArrowLeft', 'ArrowRight', 'Enter'].includes(event.key)) {
    select(neighbour(event.key));
    if (state.node < 0) return;
    const [[x, y], box] = [picture.at(state.node), overlay.getBoundingClientRect()];
    showTooltip(describe({ node: state.node }), { right: box.left + x, top: box.top + y + 8 });
  } else return;
  event.preventDefault();
});

// --- Light and dark ---

const prefersDark = matchMedia('(prefers-color-scheme: dark)');

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  byId('theme').setAttribute('aria-pressed', theme === 'dark');
  const style = getComputedStyle(document.documentElement);
  const names = ['ground', 'band', 'line', 'faint', 'ink', 'pale', 'stream', 'attention', 'mlp', 'bias', 'chosen', 'focus'];
  colours = Object.fromEntries(names.map((name) => [name, style.getPropertyValue(`--${name}`)]));
  if (routes) refresh();
}
byId('theme').addEventListener('click', () => setTheme(document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark'));
prefersDark.addEventListener('change', () => setTheme(prefersDark.matches ? 'dark' : 'light'));

// --- Begin ---

byId('bias-key').hidden = !graph.edgeKind.includes(EDGE.bias);
byId('all-targets-label').hidden = possibleTargets.size < 2;
byId('target').max = graph.nPos - 1;
if (hasHeads) buildHeads();
setTheme(prefersDark.matches ? 'dark' : 'light');
recompute();
new ResizeObserver(() => later(refresh)).observe(byId('canvases'));
