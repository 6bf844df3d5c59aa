// The page: its pieces, and what each of them does after a change.

const graph = new Graph(JSON.parse(byId('routes').textContent));
const state = new State(graph, { routes: showRoutes, window: showWindow, node: showNode });
const theme = new Theme(showWindow);
const texts = new Texts(graph);
const tooltip = new Tooltip();
const layout = new Layout(graph);
const picture = new Picture(layout, theme);
const highlight = new Highlight(state, layout, theme, tooltip);
const heading = new Heading(state, layout, texts);
const controls = new Controls(state);
const tokens = new Tokens(state, layout, texts);
const overview = new Overview(state, theme);
const details = new Details(state, texts);
const heads = new Heads(state, highlight, tooltip);
new Pointer(state, layout, texts, highlight, tooltip);
new Keyboard(state, layout, texts, tooltip);

function showRoutes() {
  heads.show();
  showWindow();
}

function showWindow() {
  const columns = state.columns();
  controls.show();
  // The row of tokens decides how high the picture is.
  tokens.makeRoom(columns.length);
  const { clientWidth, clientHeight } = byId('picture');
  layout.place(state.routes, columns, state.layers, clientWidth, clientHeight);
  byId('stub-key').hidden = layout.leaving === 0;
  heading.show(picture.draw());
  tokens.show();
  overview.show();
  showNode();
}

function showNode() {
  highlight.rest();
  details.show();
}

byId('bias-key').hidden = !graph.edgeKind.includes(EDGE.bias);
showRoutes();
new ResizeObserver(() => later(showWindow)).observe(byId('canvases'));
