// The review card: shows a blind pair, takes a label by keyboard, and never waits for the server.
//
// It holds the next pairs, so the next one is painted in the frame of the key press. Labels go out behind, through an
// outbox in localStorage: one entry an item, written before it is sent, removed when the server says it is stored. All
// unacknowledged items travel in one state value with a changing nonce until then; the server stores each id once.
// Text from the data is only ever set as textContent.

const ROWS = [
  { id: "error_left", place: "left", about: "error", label: "Error in", short: "error" },
  { id: "error_right", place: "right", about: "error", label: "Error in", short: "error" },
  { id: "calibration_left", place: "left", about: "calibration", label: "Confidence in", short: "confidence" },
  { id: "calibration_right", place: "right", about: "calibration", label: "Confidence in", short: "confidence" },
  { id: "tone", about: "tone", label: "Tone fits better", short: "tone" },
  { id: "better", about: "better", label: "Better overall", short: "better overall" },
];
// One logged answer instead of a pair: the left side's rows alone, and its tone by itself.
const SINGLE_ROWS = [
  { ...ROWS[0], label: "Error" },
  { ...ROWS[2], label: "Confidence" },
  { id: "tone", about: "manner", label: "Tone", short: "tone" },
];
const CHOICES = {
  error: [["none", "none"], ["cautious", "cautious"], ["confident", "confident"], ["other", "other"], ["cannot_tell", "can’t tell"]],
  calibration: [["under", "too low"], ["right", "right"], ["over", "too high"]],
  tone: [["left", "A"], ["same", "same"], ["right", "B"]],
  manner: [["good", "fits"], ["fair", "passable"], ["poor", "does not fit"]],
  better: [["left", "A"], ["same", "same"], ["right", "B"], ["both_bad", "both bad"]],
};
const RUBRIC_TITLE = { error: "Error", calibration: "Confidence", tone: "Tone", manner: "Tone", better: "Better overall" };
const NAME = { left: "A", right: "B" };
const CATEGORY_HELP = "Letters mark what is wrong, several if need be; a digit goes on.";
const PLACES = ["left", "right"];

const RESEND_MS = 1500; // the first resend; then longer, up to RESEND_MAX_MS
const RESEND_MAX_MS = 4000;
const OFFLINE_MS = 3000; // unanswered for so long: say so
const FOREIGN_MS = 4000; // another tab's item is sent from here once it is so old
const RENEW_MS = 5 * 60_000; // tell the server that somebody is still at the pair
const POLL_MS = 10_000; // with nothing to show: ask whether a pair came free
const REFILL = 4; // with fewer pairs at hand, the one in sight included, ask for more
const HISTORY = 12;
const FOLD_CHARS = 7000;
const FOLD_MESSAGE = 900;
const BLOCK_CHARS = 3000;
const KEPT_MESSAGES = 4;

const cards = new WeakMap();

export default function (component, style) {
  const host = component.parentElement;
  dress(host.getRootNode(), style);
  const data = component.data?.[0];
  if (!data) return undefined;
  let card = cards.get(host);
  if (card && card.scope !== data.scope) {
    card.destroy();
    card = undefined;
  }
  if (card) card.connect(component);
  else {
    card = new ReviewCard(host, component);
    cards.set(host, card);
  }
  const mine = card;
  // Streamlit also calls this for a call that a newer one has overtaken: only a card that has left the page ends.
  return () => setTimeout(() => {
    const element = host.host ?? host;
    if (!element.isConnected) {
      mine.destroy();
      if (cards.get(host) === mine) cards.delete(host);
    }
  }, 50);
}

// The style sheet, once a root.
const sheets = new WeakMap();
function dress(root, style) {
  if (sheets.has(root)) return;
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(style);
  root.adoptedStyleSheets = [...root.adoptedStyleSheets, sheet];
  sheets.set(root, sheet);
}

// ---------------------------------------------------------------------------------------------------------- elements

function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "onclick") node.addEventListener("click", value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children) if (child !== null && child !== undefined) node.append(child);
  return node;
}

const key = (text) => el("kbd", { "aria-hidden": "true" }, text);

// Signs that would move, hide or recolour other text are shown by their number, in place.
const UNSAFE = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufff9-\ufffb]/;
const UNSAFE_ALL = new RegExp(UNSAFE, "g");
function visible(text) {
  const lines = text.includes("\r") ? text.replace(/\r\n?/g, "\n") : text;
  if (!UNSAFE.test(lines)) return lines;
  return lines.replace(UNSAFE_ALL, (sign) => {
    const code = sign.codePointAt(0);
    return code < 32 ? String.fromCodePoint(0x2400 + code) : `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
  });
}

function uuid() {
  if (crypto.randomUUID) return crypto.randomUUID();
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// Half a surrogate pair is no text that can be stored.
const wellFormed = (text) => (text.toWellFormed ? text.toWellFormed() : text);

const clock = (date) => date.toLocaleTimeString("en-GB", { hour12: false });
const count = (n, word) => `${n.toLocaleString("en")} ${word}${n === 1 ? "" : "s"}`;

// ------------------------------------------------------------------------------------------------------- long texts

// Runs of text ([text, differs], …) as blocks of about BLOCK_CHARS, cut at line ends, or at a space in a very long line.
function* blocksOf(runs) {
  let block = [];
  let size = 0;
  for (const [text, differs, code] of runs) {
    let rest = text;
    while (rest) {
      if (size + rest.length <= BLOCK_CHARS) {
        block.push([rest, differs, code]);
        size += rest.length;
        break;
      }
      const from = Math.max(0, BLOCK_CHARS - size);
      let cut = rest.indexOf("\n", from);
      let skip = 1;
      if (cut < 0 || cut - from > 2 * BLOCK_CHARS) {
        cut = rest.indexOf(" ", from + BLOCK_CHARS);
        if (cut < 0 || cut - from > 2 * BLOCK_CHARS) {
          if (rest.length - from <= 3 * BLOCK_CHARS) {
            block.push([rest, differs, code]);
            size += rest.length;
            break;
          }
          cut = from + 2 * BLOCK_CHARS;
          skip = 0;
        }
      }
      block.push([rest.slice(0, cut), differs, code]);
      yield block;
      block = [];
      size = 0;
      rest = rest.slice(cut + skip);
    }
  }
  if (block.length) yield block;
}

function blockElement(runs) {
  const block = el("div", { class: "block" });
  for (const [text, differs, code] of runs) {
    const shown = visible(text);
    if (!differs && !code) block.append(shown);
    else block.append(el(differs ? "mark" : "span", { class: code ? "code" : null }, shown));
  }
  return block;
}

// Pieces alternate: same, differing, same, … A plain text is one run. Fenced code becomes runs of its own.
function runsOf(pieces) {
  const list = typeof pieces === "string" ? [pieces] : pieces;
  const full = list.length === 1 ? list[0] : list.join("");
  const edges = []; // where code begins and ends, in turn
  if (full.includes("```")) for (const fence of full.matchAll(/^ {0,3}```[^]*?(?:^ {0,3}```[^\S\n]*$|$(?![^]))/gm)) edges.push(fence.index, fence.index + fence[0].length);
  const runs = [];
  let at = 0;
  let edge = 0;
  list.forEach((piece, index) => {
    let rest = piece;
    while (rest) {
      while (edge < edges.length && edges[edge] <= at) edge += 1;
      const take = edge < edges.length ? Math.min(rest.length, edges[edge] - at) : rest.length;
      runs.push([rest.slice(0, take), index % 2 === 1, edge % 2 === 1]);
      at += take;
      rest = rest.slice(take);
    }
  });
  return runs;
}

function headOf(runs, limit) {
  const head = [];
  let left = limit;
  for (const [text, differs, code] of runs) {
    if (text.length > left) {
      const space = text.lastIndexOf(" ", left);
      head.push([text.slice(0, space > left / 2 ? space : left), differs, code]);
      break;
    }
    head.push([text, differs, code]);
    left -= text.length;
  }
  return head;
}

// A text that folds when it is longer than `limit`; unfolding adds a few blocks a frame, so that nothing stutters.
function foldable(pieces, limit, words) {
  const runs = runsOf(pieces);
  const length = runs.reduce((sum, [text]) => sum + text.length, 0);
  const body = el("div", { class: "text", dir: "auto" });
  if (length <= limit * 1.25) {
    for (const block of blocksOf(runs)) body.append(blockElement(block));
    return body;
  }
  const box = el("div", { class: "foldable folded" }, body);
  const button = el("button", { type: "button", class: "fold", "aria-expanded": "false" });
  let frame = 0;
  const fold = () => {
    cancelAnimationFrame(frame);
    body.replaceChildren();
    for (const block of blocksOf(headOf(runs, limit))) body.append(blockElement(block));
    button.textContent = words ? `Show all ${count(words, "word")}` : "Show all";
    button.setAttribute("aria-expanded", "false");
    box.classList.add("folded");
  };
  const unfold = () => {
    body.replaceChildren();
    const blocks = blocksOf(runs);
    const step = () => {
      const until = performance.now() + 5;
      do {
        const next = blocks.next();
        if (next.done) return;
        body.append(blockElement(next.value));
      } while (performance.now() < until);
      frame = requestAnimationFrame(step);
    };
    step();
    button.textContent = "Fold";
    button.setAttribute("aria-expanded", "true");
    box.classList.remove("folded");
  };
  button.addEventListener("click", () => (box.classList.contains("folded") ? unfold() : fold()));
  fold();
  box.append(button);
  return box;
}

// ---------------------------------------------------------------------------------------------------------- outbox

// What is not yet acknowledged. Each item has its own entry in localStorage, so tabs of one reviewer never overwrite
// each other; memory holds what storage refuses.
class Outbox {
  constructor(scope) {
    this.prefix = `review.outbox.${scope}.`;
    this.refusedPrefix = `review.refused.${scope}.`;
    this.memory = new Map();
    this.kept = true; // whether storage took everything
    this.sequence = 0;
    this.tab = session("review.tab") ?? uuid().slice(0, 8);
    session("review.tab", this.tab);
    for (const name of names(this.prefix)) this.read(name.slice(this.prefix.length));
  }

  read(id) {
    try {
      const entry = JSON.parse(localStorage.getItem(this.prefix + id));
      if (entry && entry.item && (entry.type === "answers" || entry.type === "flag")) this.memory.set(id, entry);
    } catch {
      // not ours, or storage is closed to us
    }
  }

  add(id, type, item) {
    const entry = { type, item, tab: this.tab, at: Date.now(), sequence: ++this.sequence };
    this.memory.set(id, entry);
    try {
      localStorage.setItem(this.prefix + id, JSON.stringify(entry));
    } catch {
      this.kept = false;
    }
  }

  remove(id) {
    this.memory.delete(id);
    try {
      localStorage.removeItem(this.prefix + id);
    } catch {
      // memory is what counts then
    }
    if (!this.memory.size) this.kept = true;
  }

  // The server will never take it: out of the queue, but not thrown away.
  refuse(id, reason) {
    const entry = this.memory.get(id);
    if (!entry) return;
    try {
      localStorage.setItem(this.refusedPrefix + id, JSON.stringify({ ...entry, reason }));
    } catch {
      // shown on the page in any case
    }
    this.remove(id);
  }

  sorted() {
    return [...this.memory.entries()].sort(([, a], [, b]) => a.at - b.at || a.sequence - b.sequence);
  }

  // Ours at once; another tab's when it has had the time to send it itself.
  due() {
    const now = Date.now();
    return this.sorted().filter(([, entry]) => entry.tab === this.tab || now - entry.at > FOREIGN_MS);
  }

  get size() {
    return this.memory.size;
  }
}

function names(prefix) {
  try {
    return Object.keys(localStorage).filter((name) => name.startsWith(prefix));
  } catch {
    return [];
  }
}

function session(name, value) {
  try {
    if (value === undefined) return sessionStorage.getItem(name);
    if (value === null) sessionStorage.removeItem(name);
    else sessionStorage.setItem(name, value);
  } catch {
    // without storage a reload forgets the draft; nothing else depends on it
  }
  return null;
}

// ------------------------------------------------------------------------------------------------------------ a form

const emptyForm = () => ({ answers: {}, categories: { left: [], right: [] }, comment: "", stop: 0, shownMs: 0 });

function formOf(answers) {
  const form = emptyForm();
  for (const row of ROWS) if (answers[row.id]) form.answers[row.id] = answers[row.id];
  for (const place of PLACES) form.categories[place] = [...(answers[`categories_${place}`] ?? [])];
  form.comment = answers.comment ?? "";
  return form;
}

const hasError = (form, place) => ["cautious", "confident", "other"].includes(form.answers[`error_${place}`]);

// -------------------------------------------------------------------------------------------------------- the card

class ReviewCard {
  constructor(host, component) {
    this.host = host;
    this.scope = component.data[0].scope;
    this.single = Boolean(component.data[0].single);
    this.rows = this.single ? SINGLE_ROWS : ROWS;
    this.places = this.single ? ["left"] : PLACES;
    this.thing = this.single ? "answer" : "pair";
    this.outbox = new Outbox(this.scope);
    this.cards = new Map(); // card id → card, in the server's order
    this.order = [];
    this.done = new Set(this.outbox.sorted().filter(([, e]) => e.type === "answers").map(([, e]) => e.item.card_id));
    this.layers = new Map(); // card id → its prepared elements; the next one's lies in the stage already, laid out unseen
    this.history = [];
    this.current = null;
    this.form = emptyForm();
    this.editing = null; // index into history while a stored label is corrected
    this.stash = null;
    this.inflight = null;
    this.dirty = false;
    this.refill = false; // a pair went since the queue was last asked for
    this.heard = false; // an answer to a message of this mount has come
    this.lastSend = 0;
    this.waitingSince = 0;
    this.resend = RESEND_MS;
    this.savedAt = null;
    this.touched = Date.now();
    this.setup = null;
    this.progress = null;
    this.storedSince = 0; // labels stored after the server last counted
    this.summary = null;
    this.problem = null;
    this.refused = names(this.outbox.refusedPrefix).length;
    this.mounted = performance.now();
    this.build();
    this.listen();
    this.connect(component);
    this.grabFocus();
  }

  // A new call of Streamlit: newest functions, newest data.
  connect(component) {
    this.component = component;
    this.receive(component.data[0]);
    if (!this.greeted) {
      this.greeted = true;
      this.send();
    }
  }

  destroy() {
    this.ended = true;
    clearInterval(this.timer);
    this.abort.abort();
    this.observer.disconnect();
    this.root.remove();
  }

  // ------------------------------------------------------------------------------------------------- the wire

  send() {
    const due = this.outbox.due();
    const message = {
      nonce: uuid(),
      hello: !this.setup || !this.heard,
      want: (this.low() || this.lacking()) && (!due.length || !this.current),
      have: [...this.cards.keys()],
      shown: this.current && this.editing === null ? this.current.card_id : null,
      answers: due.filter(([, entry]) => entry.type === "answers").map(([, entry]) => entry.item),
      flags: due.filter(([, entry]) => entry.type === "flag").map(([, entry]) => entry.item),
    };
    this.dirty = false;
    if (message.want) this.refill = false;
    this.lastSend = Date.now();
    if (due.length && !this.waitingSince) this.waitingSince = this.lastSend;
    this.inflight = message.nonce;
    this.attempts = (this.attempts ?? 0) + 1;
    try {
      this.component.setStateValue("outbox", message);
    } catch {
      // no connection: the timer tries again
    }
  }

  // Send now if nothing is under way; else right after the answer. One message at a time keeps the server's run whole.
  post() {
    if (this.inflight) this.dirty = true;
    else this.send();
  }

  receive(data) {
    if (data.setup) this.install(data.setup);
    this.problem = data.problem ?? null;
    const answered = Boolean(data.nonce) && data.nonce === this.inflight;
    if (answered) {
      this.inflight = null;
      this.resend = RESEND_MS;
      this.heard = true;
    }
    for (const id of data.saved ?? []) {
      const entry = this.outbox.memory.get(id);
      if (!entry) continue;
      this.outbox.remove(id);
      this.savedAt = new Date();
      if (entry.type === "answers" && !entry.item.supersedes) this.storedSince += 1;
    }
    for (const { id, reason } of data.refused ?? []) {
      if (!this.outbox.memory.has(id)) continue;
      this.outbox.refuse(id, reason);
      this.refused += 1;
      this.say(`The server did not take one entry: ${reason}`, "problem", 20_000);
    }
    if (!this.outbox.due().length) this.waitingSince = 0;
    if (data.progress) {
      this.progress = data.progress;
      this.storedSince = 0; // counted there
    }
    if (data.summary !== undefined) this.summary = data.summary;
    if (data.last && !this.history.length) {
      this.history.push({ card: data.last.card, labelId: data.last.answers.label_id, form: formOf(data.last.answers) });
    }
    for (const card of data.cards ?? []) this.cards.set(card.card_id, card);
    if (data.queue) this.order = data.queue;
    this.prune();
    if (!this.current && this.editing === null) this.next();
    else if (!this.current) this.showEnd();
    this.paintProgress();
    this.paintSaved();
    this.prepare();
    if (answered && (this.dirty || this.lacking() || (this.refill && this.low()))) this.send();
  }

  // Keep what the server still lists, what is on screen, and nothing that is labelled.
  prune() {
    const listed = new Set(this.order);
    for (const id of [...this.cards.keys()]) {
      const shown = this.current && this.current.card_id === id;
      if (this.done.has(id) || (!listed.has(id) && !shown)) this.cards.delete(id);
    }
    for (const [id, layer] of [...this.layers]) {
      if (this.cards.has(id)) continue;
      this.layers.delete(id);
      layer.remove();
    }
  }

  upcoming() {
    return this.order.filter((id) => this.cards.has(id) && !this.done.has(id));
  }

  low() {
    return this.upcoming().length < REFILL;
  }

  // A queue of very long pairs comes in several answers.
  lacking() {
    return this.order.some((id) => !this.cards.has(id) && !this.done.has(id));
  }

  tick() {
    const now = Date.now();
    const due = this.outbox.due().length > 0;
    if (now - this.lastSend > this.resend && (due || this.inflight || this.dirty)) {
      this.resend = Math.min(RESEND_MAX_MS, this.resend * 1.5);
      this.send();
    } else if (!this.inflight && !this.current && now - this.lastSend > POLL_MS) this.send();
    else if (!this.inflight && this.current && this.touched > this.lastSend && now - this.lastSend > RENEW_MS) this.send();
    this.paintSaved();
  }

  listen() {
    this.abort = new AbortController();
    const options = { signal: this.abort.signal };
    // In the capture phase of the window: before Streamlit's own shortcuts (r, c).
    window.addEventListener("keydown", (event) => this.onKey(event), { capture: true, ...options });
    window.addEventListener("storage", (event) => this.onStorage(event), options);
    for (const name of ["online", "offline"]) window.addEventListener(name, () => this.onLine(), options);
    document.addEventListener("visibilitychange", () => this.onVisibility(), options);
    window.addEventListener("resize", () => this.fit(), options);
    this.observer = new ResizeObserver(() => this.fit());
    this.observer.observe(this.root);
    for (const name of ["pointerdown", "wheel"]) {
      this.root.addEventListener(name, () => (this.touched = Date.now()), { passive: true, ...options });
    }
    this.timer = setInterval(() => this.tick(), 250);
  }

  onLine() {
    if (navigator.onLine && (this.outbox.size || this.inflight)) this.send();
    this.paintSaved();
  }

  // Another tab of this reviewer wrote to the outbox or had an item acknowledged.
  onStorage(event) {
    if (!event.key || !event.key.startsWith(this.outbox.prefix)) return;
    const id = event.key.slice(this.outbox.prefix.length);
    if (event.newValue === null) this.outbox.memory.delete(id);
    else {
      this.outbox.read(id);
      const entry = this.outbox.memory.get(id);
      if (entry && entry.type === "answers") this.labelledElsewhere(entry.item.card_id);
    }
    this.paintSaved();
  }

  labelledElsewhere(cardId) {
    this.done.add(cardId);
    this.refill = true;
    const onScreen = this.editing === null ? this.current : this.stash && this.stash.card;
    this.prune();
    if (onScreen && onScreen.card_id === cardId) {
      this.say(`This ${this.thing} was labelled in another tab.`);
      if (this.editing === null) {
        this.current = null;
        this.next();
      } else this.stash = null;
    }
    this.post();
  }

  // --------------------------------------------------------------------------------------------- what is on screen

  next() {
    const id = this.upcoming()[0];
    if (id === undefined) {
      this.current = null;
      this.showEnd();
      return;
    }
    this.open(this.cards.get(id), this.draftFor(id) ?? emptyForm());
  }

  open(card, form) {
    this.current = card;
    this.form = form;
    this.clockStart = document.hidden ? null : performance.now();
    this.root.dataset.state = this.editing === null ? "label" : "correct";
    const layer = this.layers.get(card.card_id) ?? this.layer(card);
    this.layers.delete(card.card_id);
    // Back to the top before the new text is there: asking afterwards would lay it out twice.
    if (this.stage.scrollTop) this.stage.scrollTop = 0;
    if (this.panel.scrollTop) this.panel.scrollTop = 0;
    this.show(layer);
    this.taskLabel.textContent = visible(card.task ?? "");
    this.taskLabel.hidden = !card.task;
    this.banner.hidden = this.editing === null;
    this.comment.value = form.comment;
    for (const help of this.categoryHelp.values()) help.textContent = CATEGORY_HELP;
    this.hint("");
    this.applyDiff();
    this.paintForm();
    this.focusStop();
  }

  // Put one pair in sight. What lies ahead stays where it is: an element that moves is laid out anew.
  show(layer) {
    for (const other of [...this.stage.children]) if (other !== layer && !other.classList.contains("ahead")) other.remove();
    layer.classList.remove("ahead");
    layer.inert = false;
    if (layer.parentNode !== this.stage) this.stage.prepend(layer);
  }

  // Make and lay out the following pair while the reviewer reads this one: the layout is most of what a key press costs.
  prepare() {
    clearTimeout(this.preparing);
    this.preparing = setTimeout(() => {
      const ahead = this.upcoming().filter((id) => !this.current || this.current.card_id !== id).slice(0, 2);
      const missing = ahead.find((id) => !this.layers.has(id));
      if (missing !== undefined) this.layers.set(missing, this.layer(this.cards.get(missing)));
      const next = this.layers.get(ahead[0]);
      if (next && this.current && next.parentNode !== this.stage) {
        for (const other of this.stage.querySelectorAll(":scope > .ahead")) other.remove();
        next.classList.add("ahead");
        next.inert = true;
        this.stage.append(next);
      }
      if (missing !== undefined) this.prepare();
    }, 30);
  }

  elapsed() {
    return this.form.shownMs + (this.clockStart === null ? 0 : performance.now() - this.clockStart);
  }

  onVisibility() {
    if (document.hidden) {
      this.form.shownMs = this.elapsed();
      this.clockStart = null;
      this.saveDraft();
    } else if (this.clockStart === null) this.clockStart = performance.now();
  }

  draftFor(cardId) {
    try {
      const draft = JSON.parse(session(`review.draft.${this.scope}`));
      return draft && draft.card_id === cardId ? { ...emptyForm(), ...draft.form } : null;
    } catch {
      return null;
    }
  }

  saveDraft() {
    if (!this.current || this.editing !== null) return;
    const form = { ...this.form, shownMs: this.elapsed() };
    session(`review.draft.${this.scope}`, JSON.stringify({ card_id: this.current.card_id, form }));
  }

  // ------------------------------------------------------------------------------------------------ what is answered

  // The places where the focus stops: six rows, and after an error row its categories while that side has an error.
  stops() {
    const stops = [];
    for (const row of this.rows) {
      stops.push({ row });
      if (row.about === "error" && hasError(this.form, row.place)) stops.push({ row, categories: true });
    }
    return stops;
  }

  get stop() {
    const stops = this.stops();
    return stops[Math.min(this.form.stop, stops.length - 1)];
  }

  goto(row, categories = false) {
    const index = this.stops().findIndex((stop) => stop.row === row && Boolean(stop.categories) === categories);
    this.form.stop = Math.max(0, index);
    this.paintForm();
    this.focusStop();
  }

  choose(row, value) {
    this.form.answers[row.id] = value;
    if (row.about === "error" && !hasError(this.form, row.place)) this.form.categories[row.place] = [];
    this.hint("");
    const stops = this.stops();
    const at = stops.findIndex((stop) => stop.row === row && !stop.categories);
    this.form.stop = Math.min(at + 1, stops.length - 1);
    this.changed();
    this.focusStop();
  }

  digit(number) {
    const { row, categories } = this.stop;
    // A digit never names a category: on that stop it already answers the row that follows.
    const target = categories ? this.rows[this.rows.indexOf(row) + 1] : row;
    const choice = CHOICES[target.about][number - 1];
    if (!choice) {
      this.hint(`${this.rowName(target)} has the digits 1 to ${CHOICES[target.about].length}.`);
      return;
    }
    this.choose(target, choice[0]);
  }

  // The side whose categories letters mark now: the one in focus, else the only one with an error.
  categoryPlace() {
    const { row } = this.stop;
    if (row.about === "error" && hasError(this.form, row.place)) return row.place;
    const wrong = this.places.filter((place) => hasError(this.form, place));
    return wrong.length === 1 ? wrong[0] : null;
  }

  toggleCategory(place, id) {
    const chosen = this.form.categories[place];
    const at = chosen.indexOf(id);
    if (at < 0) chosen.push(id);
    else chosen.splice(at, 1);
    const named = this.setup.categories.find((each) => each.id === id);
    this.categoryHelp.get(place).textContent = named && at < 0 ? visible(`${named.name}: ${named.help}`) : CATEGORY_HELP;
    this.changed();
  }

  back() {
    if (this.form.stop > 0) this.form.stop -= 1;
    this.hint("");
    this.paintForm();
    this.focusStop();
  }

  changed() {
    this.touched = Date.now();
    this.paintForm();
    this.saveDraft();
  }

  rowName(row) {
    return row.place && !this.single ? `${row.label} ${NAME[row.place]}` : row.label;
  }

  submit() {
    if (!this.current) return;
    const missing = this.rows.find((row) => !this.form.answers[row.id]);
    if (missing) {
      this.goto(missing);
      this.hint(`Still open: ${this.rowName(missing)}`);
      const element = this.rowElements.get(missing.id);
      element.classList.remove("missing");
      requestAnimationFrame(() => element.classList.add("missing"));
      return;
    }
    this.file("label", this.form);
  }

  // Write one label or skip into the outbox, show what comes next, then send.
  file(kind, form) {
    const card = this.current;
    const entry = this.editing === null ? { card } : this.history[this.editing];
    const empty = kind === "skip";
    const labelId = uuid();
    const item = {
      label_id: labelId,
      card_id: card.card_id,
      kind,
      better: empty ? null : form.answers.better,
      error_left: empty ? null : form.answers.error_left,
      error_right: empty ? null : form.answers.error_right,
      calibration_left: empty ? null : form.answers.calibration_left,
      calibration_right: empty ? null : form.answers.calibration_right,
      tone: empty ? null : form.answers.tone,
      categories_left: empty ? [] : form.categories.left,
      categories_right: empty ? [] : form.categories.right,
      comment: wellFormed(form.comment.trim()) || null,
      seconds: Math.round(this.elapsed() / 100) / 10,
      labelled_at: new Date().toISOString(),
      supersedes: this.editing === null ? null : entry.labelId,
    };
    this.outbox.add(labelId, "answers", item);
    entry.labelId = labelId;
    entry.form = { ...form, stop: 0, shownMs: 0 };
    this.touched = Date.now();
    // Everything else is painted before the next pair: its focus asks for a layout, and there should be one.
    this.paintProgress();
    this.paintSaved();
    if (this.editing === null) {
      this.history.push(entry);
      if (this.history.length > HISTORY) this.history.shift();
      this.done.add(card.card_id);
      this.refill = true;
      this.cards.delete(card.card_id);
      session(`review.draft.${this.scope}`, null);
      this.current = null;
      this.next();
    } else this.leaveEditing();
    this.hint(item.supersedes ? "Correction kept; the earlier label stays in the record." : "");
    // The frame with the next pair goes first.
    setTimeout(() => {
      this.post();
      this.prepare();
    }, 0);
  }

  undo() {
    const index = (this.editing === null ? this.history.length : this.editing) - 1;
    if (index < 0) {
      this.hint(this.editing === null ? "There is no label of yours to reopen." : "No earlier label is at hand.");
      return;
    }
    if (this.editing === null && this.current) {
      this.form.shownMs = this.elapsed();
      this.saveDraft();
      this.stash = { card: this.current, form: this.form };
    }
    this.editing = index;
    const entry = this.history[index];
    this.open(entry.card, structuredClone(entry.form));
  }

  leaveEditing() {
    this.editing = null;
    const stash = this.stash;
    this.stash = null;
    if (stash && !this.done.has(stash.card.card_id)) this.open(stash.card, stash.form);
    else {
      this.current = null;
      this.next();
    }
  }

  // -------------------------------------------------------------------------------------------------------- keys

  onKey(event) {
    if (this.ended || event.defaultPrevented || event.isComposing) return;
    const target = event.composedPath()[0];
    const typing = isField(target);
    const ours = event.composedPath().includes(this.root);
    if (this.dialog) {
      this.onDialogKey(event, typing);
      return;
    }
    if (typing) {
      if (ours && event.key === "Escape") {
        target.blur();
        this.focusStop();
        this.take(event);
      } else if (ours && event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
        this.take(event);
        this.submit();
      }
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    // An open menu or dialog of Streamlit's has the keys.
    if (!ours && target.closest?.("[role=dialog],[role=listbox],[role=menu]")) return;
    const onButton = ours && target.matches?.("button:not([role=radio]):not([role=checkbox]),summary,a");
    const letter = event.key.length === 1;
    if (event.key === "Enter" || event.key === " ") {
      if (onButton || (event.key === " " && ours && target.matches?.("button"))) return;
      if (!ours && target !== document.body && target !== document.documentElement) return;
      this.take(event);
      if (event.key === " ") this.scroll(event.shiftKey ? -0.85 : 0.85);
      else if (!event.repeat) this.submit();
      return;
    }
    if (event.key === "Escape") {
      if (this.editing !== null) {
        this.take(event);
        this.leaveEditing();
      }
      return;
    }
    if (event.key === "?") {
      this.take(event);
      this.openKeys();
      return;
    }
    if (event.key === "PageDown" || event.key === "PageUp") {
      this.take(event);
      this.scroll(event.key === "PageDown" ? 0.85 : -0.85);
      return;
    }
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      this.take(event);
      this.stage.scrollBy({ top: event.key === "ArrowDown" ? 64 : -64 });
      return;
    }
    if (ours && (event.key === "ArrowLeft" || event.key === "ArrowRight")) {
      this.take(event);
      this.arrow(event.key === "ArrowRight" ? 1 : -1);
      return;
    }
    if (event.key === "Backspace") {
      this.take(event);
      if (this.current) this.back();
      return;
    }
    if (!letter) return;
    // From here on no single sign may reach Streamlit's shortcuts.
    this.take(event);
    if (event.repeat) return;
    if (event.key === "u" && !this.current) {
      this.undo();
      return;
    }
    if (!this.current) return;
    if (event.key >= "1" && event.key <= "9") this.digit(Number(event.key));
    else this.letter(event.key.toLowerCase());
  }

  letter(sign) {
    const category = this.setup?.categories.find((each) => each.key === sign);
    const place = this.categoryPlace();
    const focused = this.stop.categories === true;
    const commands = {
      u: () => this.undo(),
      s: () => this.openSkip(),
      f: () => this.openFlag(),
      d: () => !this.single && this.toggleDiff(),
      c: () => this.comment.focus(),
      v: () => this.toggleFolds(),
    };
    // On a row of categories its letters come first, should one of them also be a command.
    if (category && place && (focused || !commands[sign])) this.toggleCategory(place, category.id);
    else if (commands[sign]) commands[sign]();
    else if (category) {
      this.hint(
        this.places.some((each) => hasError(this.form, each))
          ? "Both answers have an error: go to the row of A or B (Backspace), then press the letter."
          : "Categories are for a side with an error.",
      );
    }
  }

  arrow(step) {
    const { row, categories } = this.stop;
    if (categories) return;
    const choices = CHOICES[row.about];
    const at = choices.findIndex(([value]) => value === this.form.answers[row.id]);
    const to = at < 0 ? (step > 0 ? 0 : choices.length - 1) : (at + step + choices.length) % choices.length;
    this.form.answers[row.id] = choices[to][0];
    if (row.about === "error" && !hasError(this.form, row.place)) this.form.categories[row.place] = [];
    this.changed();
  }

  take(event) {
    event.preventDefault();
    event.stopImmediatePropagation();
  }

  scroll(part) {
    this.stage.scrollBy({ top: part * this.stage.clientHeight });
  }

  toggleFolds() {
    const shown = ":scope > .layer:not(.ahead)";
    const folds = [...this.stage.querySelectorAll(`${shown} .answers .foldable, ${shown} .prompt .foldable, ${shown} .earlier`)];
    const closed = folds.filter((each) => each.classList.contains("folded"));
    for (const each of closed.length ? closed : folds) each.querySelector(":scope > .fold").click();
    if (!folds.length) this.hint("Nothing is folded here.");
  }

  // What marks differences: automatic (only where the texts share enough to compare) until the reviewer says otherwise.
  applyDiff() {
    const wanted = stored("review.diff");
    const auto = this.current ? this.current.marks : false;
    this.diffOn = wanted === null ? auto : wanted === "on";
    this.root.classList.toggle("diff", this.diffOn);
    this.diffButton.setAttribute("aria-pressed", String(this.diffOn));
  }

  toggleDiff() {
    const on = !this.diffOn;
    stored("review.diff", this.current && on === this.current.marks ? null : on ? "on" : "off");
    this.applyDiff();
    if (on && this.current && this.current.shared === null) this.hint("These texts are too long to compare word by word.");
  }

  grabFocus() {
    const active = document.activeElement;
    if (!active || !isField(active)) this.focusStop();
  }

  // The focus follows the row, so that a screen reader says where one is; the group has it, not a choice.
  focusStop() {
    if (!this.current || this.dialog) return;
    const { row, categories } = this.stop;
    const element = categories ? this.categoryRows.get(row.place) : this.rowElements.get(row.id);
    element.focus({ preventScroll: true });
    // Measured after the frame, which must not wait for it.
    cancelAnimationFrame(this.following);
    this.following = requestAnimationFrame(() => setTimeout(() => {
      if (this.panel.scrollHeight > this.panel.clientHeight + 1) element.scrollIntoView({ block: "nearest" });
    }));
  }

  // ------------------------------------------------------------------------------------------------------ dialogs

  openDialog(className, title, content, { onSubmit, onKey, focus } = {}) {
    const heading = el("h2", {}, title);
    const dialog = el("dialog", { class: `dialog ${className}`, "aria-label": title, tabindex: "-1" }, heading, ...content.filter(Boolean));
    this.dialog = dialog;
    this.dialogKey = onKey ?? null;
    this.dialogSubmit = onSubmit ?? null;
    dialog.addEventListener("close", () => this.closeDialog(dialog));
    dialog.addEventListener("mousedown", (event) => {
      if (event.target === dialog) this.closeDialog(); // outside, on the backdrop
    });
    this.root.append(dialog);
    dialog.showModal();
    (focus ?? dialog).focus();
    return dialog;
  }

  // At once, not with the event that the browser sends later: the next key press belongs to the card again.
  closeDialog(dialog = this.dialog) {
    if (!dialog || dialog !== this.dialog) return;
    this.dialog = null;
    dialog.close();
    dialog.remove();
    this.focusStop();
  }

  onDialogKey(event, typing) {
    if (event.key === "Escape") {
      this.take(event);
      this.closeDialog();
      return;
    }
    const enter = event.key === "Enter" && !event.shiftKey;
    const target = event.composedPath()[0];
    const send = enter && this.dialogSubmit && (event.ctrlKey || event.metaKey || target.tagName !== "BUTTON");
    if (send && (target.tagName !== "TEXTAREA" || event.ctrlKey || event.metaKey)) {
      this.take(event);
      if (!event.repeat) this.dialogSubmit();
      return;
    }
    if (typing) {
      event.stopImmediatePropagation();
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.key.length !== 1) return;
    if (event.key === " " && target.tagName === "BUTTON") return;
    this.take(event);
    if (!event.repeat) this.dialogKey?.(event.key.toLowerCase());
  }

  openSkip() {
    const reason = el("input", {
      type: "text", class: "field", maxlength: "2000", "aria-label": "Why, if you like",
      placeholder: "Why, if you like: not my language, broken pair, …",
    });
    const send = () => {
      const form = { ...emptyForm(), comment: reason.value };
      this.closeDialog();
      this.file("skip", form);
    };
    this.openDialog(
      "skip",
      `Skip this ${this.thing}`,
      [
        reason,
        this.buttons([["Skip", "Enter", send, true], ["Cancel", "Esc", () => this.closeDialog()]]),
      ],
      { onSubmit: send, focus: reason },
    );
  }

  openFlag() {
    const flag = { place: null, category: null };
    const wrong = this.single ? this.places : this.places.filter((place) => hasError(this.form, place));
    if (wrong.length === 1) flag.place = wrong[0];
    if (flag.place && this.form.categories[flag.place].length === 1) flag.category = this.form.categories[flag.place][0];
    const places = new Map();
    const categories = new Map();
    const expected = el("textarea", {
      class: "field", rows: "4", maxlength: "20000", "aria-label": "What should have happened",
      placeholder: "A pass is when the answer …",
    });
    const note = el("p", { class: "note", role: "alert" });
    const paint = () => {
      for (const [place, button] of places) button.setAttribute("aria-checked", String(place === flag.place));
      for (const [id, button] of categories) button.setAttribute("aria-checked", String(id === flag.category));
    };
    const set = (name, value) => {
      flag[name] = value;
      note.textContent = "";
      paint();
      if (flag.place && flag.category) expected.focus();
    };
    this.places.forEach((place, index) => {
      places.set(place, this.choiceButton(String(index * 2 + 1), NAME[place], "", () => set("place", place)));
    });
    for (const each of this.setup.categories) {
      categories.set(each.id, this.choiceButton(each.key, each.name, each.help, () => set("category", each.id)));
    }
    const send = () => {
      const missing = !flag.place ? "Which answer failed?" : !flag.category ? "Which category?" : !expected.value.trim() ? "What should have happened?" : "";
      if (missing) {
        note.textContent = missing;
        if (flag.place && flag.category) expected.focus();
        return;
      }
      const id = uuid();
      this.outbox.add(id, "flag", {
        flag_id: id, card_id: this.current.card_id, place: flag.place, category: flag.category, expected: wellFormed(expected.value.trim()),
      });
      this.closeDialog();
      this.paintSaved();
      this.post();
      this.say("Flagged for the permanent adversarial set.");
    };
    this.openDialog(
      "flag",
      "Flag a failure",
      [
        el("p", { class: "lead" }, "Goes to the permanent adversarial set, with this conversation and the failing answer."),
        ...(this.single ? [] : [
          el("div", { class: "question", id: "flag-side" }, "Which answer failed?"),
          el("div", { class: "choices", role: "radiogroup", "aria-labelledby": "flag-side" }, ...places.values()),
        ]),
        el("div", { class: "question", id: "flag-category" }, "How?"),
        el("div", { class: "choices", role: "radiogroup", "aria-labelledby": "flag-category" }, ...categories.values()),
        el("div", { class: "question" }, "What should have happened?"),
        expected,
        note,
        this.buttons([["Flag", "Ctrl Enter", send, true], ["Cancel", "Esc", () => this.closeDialog()]]),
      ],
      {
        onSubmit: send,
        onKey: (sign) => {
          if (!this.single && (sign === "1" || sign === "3")) set("place", sign === "1" ? "left" : "right");
          const category = this.setup.categories.find((each) => each.key === sign);
          if (category) set("category", category.id);
        },
      },
    );
    paint();
    if (flag.place && flag.category) expected.focus();
  }

  openKeys() {
    const groups = [
      ["Answer", [["1 – 5", "choose in the focused row, go to the next"], ["Enter", "submit"], ["Backspace", "one row back"], ["← →", "change the focused row"], ["letter", "mark or unmark a category of the side with an error"], ["c", "write a comment; Esc leaves it"]]],
      [this.single ? "The answer" : "Pair", [["s", "skip, with a reason if you like"], ["u", "reopen your last label; again for the one before"], ["f", "flag a failure for the adversarial set"], ["Esc", "leave a field, a dialog or a correction"]]],
      ["Read", [...(this.single ? [] : [["d", "mark the words that differ"]]), ["v", "unfold or fold long texts"], ["Space", "scroll down, Shift for up"], ["↑ ↓", "scroll a little"], ["?", "this sheet"]]],
    ];
    const table = ([title, rows]) =>
      el("section", {}, el("h3", {}, title), el("dl", {}, ...rows.flatMap(([keys, what]) => [el("dt", {}, key(keys)), el("dd", {}, what)])));
    const categories = (this.setup?.categories ?? []).flatMap((each) => [
      el("dt", {}, key(each.key)),
      el("dd", {}, el("b", {}, visible(each.name)), ` ${visible(each.help)}`),
    ]);
    this.openDialog(
      "keys",
      "Keys",
      [
        this.single ? null : el("p", { class: "lead" }, "1 is always A, 2 the same, 3 always B, 4 both bad, wherever A and B are compared."),
        el("div", { class: "sheets" }, ...groups.map(table)),
        el("section", {}, el("h3", {}, "Failure categories"), el("dl", { class: "wide" }, ...categories)),
        this.buttons([["Close", "Esc", () => this.closeDialog()]]),
      ],
      { onKey: (sign) => sign === "?" && this.closeDialog(), onSubmit: () => this.closeDialog() },
    );
  }

  buttons(list) {
    return el(
      "div",
      { class: "buttons" },
      ...list.map(([text, shortcut, action, primary]) =>
        el("button", { type: "button", class: primary ? "primary" : "plain", onclick: action }, text, key(shortcut)),
      ),
    );
  }

  // --------------------------------------------------------------------------------------------- elements that stay

  build() {
    const tool = (text, shortcut, action, label) =>
      el("button", { type: "button", class: "tool", title: label, onclick: action }, el("span", {}, text), key(shortcut));
    this.taskLabel = el("span", { class: "task" });
    this.bar = el("span", { class: "bar", "aria-hidden": "true" }, el("i", { class: "mine" }));
    this.progressText = el("span", { class: "progress" });
    this.saveState = el("span", { class: "save", role: "status", "aria-live": "polite" });
    this.diffButton = tool("Differences", "d", () => this.current && this.toggleDiff(), "Mark the words that differ");
    this.diffButton.hidden = this.single;
    this.top = el(
      "header",
      { class: "top" },
      this.progressText,
      this.bar,
      this.taskLabel,
      el("span", { class: "space" }),
      this.saveState,
      el(
        "span",
        { class: "tools" },
        this.diffButton,
        tool("Undo", "u", () => this.undo(), "Reopen your last label"),
        tool("Skip", "s", () => this.current && this.openSkip(), `Skip this ${this.thing}`),
        tool("Flag", "f", () => this.current && this.openFlag(), "Flag a failure"),
        tool("Keys", "?", () => this.openKeys(), "All keys"),
      ),
    );
    this.banner = el("div", { class: "banner", hidden: true }, el("b", {}, "Correcting an earlier label."), " Enter keeps the correction as a new row; ", key("Esc"), " leaves it as it was.");
    this.notice = el("div", { class: "notice", role: "alert", hidden: true });
    this.stage = el("main", { class: "stage", tabindex: "-1", "aria-label": `The ${this.thing}` });
    this.hintLine = el("p", { class: "hint", role: "alert" });
    this.rowElements = new Map();
    this.categoryRows = new Map();
    this.choiceButtons = new Map(); // "row value" → button
    this.categoryHelp = new Map();
    this.categoryButtons = new Map(); // "place id" → button
    this.rubric = el("div", { class: "rubric", "aria-live": "off" });
    this.comment = el("textarea", {
      class: "field comment", rows: "1", maxlength: "20000", placeholder: "Comment", "aria-label": "Comment, optional",
    });
    this.comment.addEventListener("input", () => {
      this.form.comment = this.comment.value;
      this.touched = Date.now();
      this.saveDraft();
    });
    this.submitButton = el("button", { type: "button", class: "primary submit", onclick: () => this.submit() }, "Submit", key("Enter"));
    const rows = el("div", { class: "rows" }, ...this.rows.map((row) => this.rowElement(row)));
    this.panel = el(
      "aside",
      { class: "panel", "aria-label": "Your label" },
      rows,
      this.rubric,
      el("div", { class: "finish" }, el("div", { class: "commentbox" }, this.comment, key("c")), this.submitButton),
      this.hintLine,
    );
    this.root = el("section", { class: "card", "aria-label": "Review card", tabindex: "-1" }, this.top, this.notice, this.banner, this.stage, this.panel);
    this.root.classList.toggle("single", this.single);
    this.root.dataset.state = "loading";
    // A click on a button leaves the focus where it is: Enter goes on to submit.
    this.root.addEventListener("mousedown", (event) => {
      if (event.target.closest("button")) event.preventDefault();
    });
    this.host.append(this.root);
    this.stage.append(el("div", { class: "quiet" }, `Fetching the next ${this.thing} …`));
    this.fit();
  }

  choiceButton(sign, text, help, action) {
    return el(
      "button",
      { type: "button", role: "radio", class: "choice", "aria-checked": "false", tabindex: "-1", title: help, onclick: action },
      key(sign),
      el("span", {}, visible(text)),
    );
  }

  rowElement(row) {
    const label = el("div", { class: "label", id: `label-${row.id}` }, row.label);
    if (row.place && !this.single) label.append(" ", el("span", { class: `side ${row.place}` }, NAME[row.place]));
    const choices = CHOICES[row.about].map(([value, text], index) => {
      const button = this.choiceButton(String(index + 1), text, "", () => this.choose(row, value));
      button.dataset.value = value;
      this.choiceButtons.set(`${row.id} ${value}`, button);
      return button;
    });
    const group = el("div", { class: "row", role: "radiogroup", tabindex: "-1", "aria-required": "true", "aria-labelledby": `label-${row.id}` }, label, el("div", { class: "choices" }, ...choices));
    group.dataset.row = row.id;
    this.rowElements.set(row.id, group);
    if (row.about !== "error") return group;
    const categories = el("div", { class: "categories", role: "group", tabindex: "-1", "aria-label": this.single ? "Failure categories" : `Failure categories of ${NAME[row.place]}`, hidden: true });
    categories.dataset.place = row.place;
    this.categoryRows.set(row.place, categories);
    return el("div", { class: "pairrow" }, group, categories);
  }

  // Rubric and categories, once they have come.
  install(setup) {
    if (this.setup) return;
    this.setup = setup;
    for (const [about, title] of Object.entries(RUBRIC_TITLE)) {
      const said = setup.rubric[about === "manner" ? "tone" : about] ?? "";
      const text = el("p", { "data-about": about }, el("b", {}, `${title}. `), visible(said));
      this.rubric.append(text);
    }
    for (const place of this.places) {
      const box = this.categoryRows.get(place);
      for (const each of setup.categories) {
        const button = el(
          "button",
          {
            type: "button", role: "checkbox", class: "choice category", "aria-checked": "false", tabindex: "-1", title: visible(each.help),
            onclick: () => {
              this.goto(this.rows.find((row) => row.id === `error_${place}`), true);
              this.toggleCategory(place, each.id);
            },
          },
          key(each.key),
          el("span", {}, visible(each.name)),
        );
        this.categoryButtons.set(`${place} ${each.id}`, button);
        box.append(button);
      }
      const help = el("span", { class: "help" }, CATEGORY_HELP);
      this.categoryHelp.set(place, help);
      box.append(help);
    }
  }

  // The card takes the height that is left, so that the rows stay in sight while the texts scroll.
  fit() {
    // Where the navigation is folded away, its button stands in the corner.
    this.root.classList.toggle("corner", this.root.getBoundingClientRect().left < 60);
    const top = this.root.getBoundingClientRect().top + (scroller(this.host)?.scrollTop ?? 0);
    this.root.style.setProperty("--top", `${Math.max(0, Math.round(top))}px`);
  }

  // ----------------------------------------------------------------------------------------------------- painting

  paintForm() {
    const { row: focused, categories: onCategories } = this.stop;
    for (const row of this.rows) {
      const element = this.rowElements.get(row.id);
      const value = this.form.answers[row.id];
      element.classList.toggle("focused", row === focused && !onCategories);
      element.classList.toggle("answered", value !== undefined);
      if (value !== undefined) element.classList.remove("missing");
      const choices = CHOICES[row.about];
      choices.forEach(([each], index) => {
        const button = this.choiceButtons.get(`${row.id} ${each}`);
        button.setAttribute("aria-checked", String(each === value));
        button.tabIndex = each === value || (value === undefined && index === 0) ? 0 : -1;
      });
    }
    for (const place of this.places) {
      const box = this.categoryRows.get(place);
      const open = hasError(this.form, place);
      box.hidden = !open;
      const inFocus = Boolean(onCategories) && focused.place === place;
      box.classList.toggle("focused", inFocus);
      if (!open) continue;
      for (const each of this.setup?.categories ?? []) {
        const button = this.categoryButtons.get(`${place} ${each.id}`);
        button.setAttribute("aria-checked", String(this.form.categories[place].includes(each.id)));
        button.tabIndex = inFocus ? 0 : -1;
      }
    }
    this.rubric.dataset.about = focused.about;
    this.submitButton.classList.toggle("ready", this.rows.every((row) => this.form.answers[row.id] !== undefined));
  }

  paintProgress() {
    if (!this.progress) return;
    const { mine, all } = this.progress;
    const uncounted = this.outbox.sorted().filter(([, e]) => e.type === "answers" && !e.item.supersedes).length;
    const waiting = uncounted + this.storedSince;
    const done = Math.min(mine.total, mine.done + waiting);
    this.progressText.replaceChildren(el("b", {}, `${done} of ${mine.total}`));
    if (all) this.progressText.append(el("span", { class: "all" }, ` · all reviewers ${Math.min(all.total, all.done + waiting)} of ${all.total}`));
    this.bar.firstChild.style.width = `${mine.total ? (100 * done) / mine.total : 0}%`;
  }

  paintSaved() {
    const waiting = this.outbox.size;
    const silent = this.waitingSince && Date.now() - this.waitingSince > OFFLINE_MS && this.inflight;
    let state = "idle";
    let text = "";
    if (waiting && (silent || !navigator.onLine)) {
      state = "offline";
      text = this.outbox.kept ? "offline, kept in this browser" : "offline, keep this tab open";
      text = `${waiting} waiting · ${text}`;
    } else if (waiting) [state, text] = ["waiting", `${waiting} waiting`];
    else if (!navigator.onLine) [state, text] = ["offline", "offline, kept in this browser"];
    else if (this.savedAt) [state, text] = ["saved", `saved ${clock(this.savedAt)}`];
    if (this.saveState.textContent !== text) this.saveState.textContent = text;
    this.saveState.dataset.state = state;
    const problem = this.problem ?? (this.refused ? `${count(this.refused, "entry")} could not be stored and stays in this browser.`.replace("entrys", "entries") : "");
    if (!this.saying) {
      this.notice.hidden = !problem;
      this.notice.dataset.kind = "problem";
      if (this.notice.textContent !== problem) this.notice.textContent = visible(problem);
    }
  }

  // A notice that goes away by itself.
  say(text, kind = "info", ms = 5000) {
    clearTimeout(this.saying);
    this.notice.textContent = visible(text);
    this.notice.dataset.kind = kind;
    this.notice.hidden = false;
    this.saying = setTimeout(() => {
      this.saying = 0;
      this.paintSaved();
    }, ms);
  }

  hint(text) {
    if (this.hintLine.textContent !== text) this.hintLine.textContent = text;
  }

  showEnd() {
    const waiting = !this.heard || this.outbox.due().length > 0 || (this.inflight && this.order.length > 0);
    this.root.dataset.state = waiting ? "loading" : "end";
    this.banner.hidden = true;
    this.taskLabel.hidden = true;
    this.hint("");
    if (waiting) {
      this.stage.replaceChildren(el("div", { class: "quiet" }, `Fetching the next ${this.thing} …`));
      return;
    }
    this.stage.replaceChildren(this.endSheet());
    this.root.focus({ preventScroll: true });
  }

  endSheet() {
    const summary = this.summary ?? {};
    const done = this.progress ? this.progress.mine.done : 0;
    const facts = [
      ["labelled", summary.labelled ?? done],
      ["skipped", summary.skipped],
      ["median seconds", summary.median_seconds === null || summary.median_seconds === undefined ? null : summary.median_seconds.toFixed(0)],
      ["flagged", summary.flags],
    ].filter(([, value]) => value !== undefined && value !== null);
    const finished = this.progress && this.progress.all && this.progress.all.done >= this.progress.all.total;
    return el(
      "div",
      { class: "end" },
      el("h2", {}, done ? `That was your last ${this.thing} of this ${this.single ? "audit" : "round"}.` : `Nothing is left for you in this ${this.single ? "audit" : "round"}.`),
      el("div", { class: "facts" }, ...facts.map(([name, value]) => el("div", {}, el("b", {}, String(value)), el("span", {}, name)))),
      this.single ? null : el("p", {}, finished ? "The round is complete: every pair has its labels. The lead sees the agreement now." : "Other reviewers still hold pairs. Should one come free, it appears here by itself."),
      ...(summary.next ?? []).map((line) => el("p", {}, visible(line))),
      el("p", { class: "quiet" }, key("u"), " reopens your last label."),
    );
  }

  layer(card) {
    return el("div", { class: "layer" }, this.sheet(card));
  }

  // The reading side of one pair.
  sheet(card) {
    const sheet = el("div", { class: "sheet" });
    sheet.append(this.promptElement(card));
    if (card.reference) {
      sheet.append(el("section", { class: "reference" }, el("h3", {}, "Reference"), foldable(card.reference, FOLD_MESSAGE, card.reference_words)));
    }
    const answers = el("section", { class: "answers", "aria-label": this.single ? "The answer" : "The two answers" });
    const calls = card.calls.length ? this.callsElement(card.calls) : null;
    for (const place of this.places) {
      const { text, words } = card[place];
      const empty = !text.length || (text.length === 1 && !text[0]);
      const body = empty ? el("p", { class: "none" }, calls || card.made?.length ? "No text, only tool calls." : "An empty answer.") : foldable(text, FOLD_CHARS, words);
      answers.append(el("article", { class: `answer ${place}`, "aria-label": this.single ? "Answer" : `Answer ${NAME[place]}` }, el("h3", { class: "heading" }, this.single ? "Answer" : el("span", { class: `side ${place}` }, NAME[place])), body));
    }
    sheet.append(answers);
    if (calls) answers.append(calls);
    if (card.made?.length) answers.append(el("div", { class: "made" }, ...card.made.map((call) => this.callElement(call))));
    return sheet;
  }

  promptElement(card) {
    const section = el("section", { class: "prompt", "aria-label": "The conversation" });
    const messages = card.messages;
    if (card.tools.length) {
      const list = el("div", { class: "text" }, ...card.tools.map((tool) => el("div", { class: "toolline" }, el("code", {}, visible(tool.name)), " ", visible(tool.description ?? ""))));
      const details = el("details", { class: "message tools" }, el("summary", {}, el("span", { class: "role" }, "tools"), count(card.tools.length, "tool"), " at hand"), list);
      section.append(details);
    }
    const hidden = messages.length > KEPT_MESSAGES + 2 ? messages.slice(0, -KEPT_MESSAGES) : [];
    if (hidden.length) {
      const box = el("div", { class: "earlier folded" });
      const button = el("button", { type: "button", class: "fold", "aria-expanded": "false" }, `${count(hidden.length, "earlier message")}`);
      const label = button.textContent;
      button.addEventListener("click", () => {
        const open = box.classList.toggle("folded") === false;
        button.setAttribute("aria-expanded", String(open));
        button.textContent = open ? "Fold earlier messages" : label;
        if (open) box.append(...hidden.map((message) => this.messageElement(message)));
        else box.replaceChildren(button);
      });
      box.append(button);
      section.append(box);
    }
    for (const message of messages.slice(hidden.length)) section.append(this.messageElement(message));
    return section;
  }

  messageElement(message) {
    const who = el("span", { class: "role" }, visible(message.role));
    if (message.name) who.append(" ", el("code", {}, visible(message.name)));
    const body = el("div", { class: "said" });
    const limit = ["system", "tool", "developer"].includes(message.role) ? FOLD_MESSAGE / 2 : FOLD_MESSAGE;
    if (message.text) body.append(foldable(message.text, limit, message.words));
    for (const call of message.calls ?? []) body.append(this.callElement(call));
    if (!body.childNodes.length) body.append(el("span", { class: "none" }, "empty"));
    const element = el("div", { class: "message" }, who, body);
    element.dataset.role = ["user", "assistant", "system", "tool", "developer"].includes(message.role) ? message.role : "other";
    return element;
  }

  callElement(call) {
    return el("div", { class: "call" }, el("code", { class: "name" }, visible(call.name)), foldable(call.arguments, FOLD_MESSAGE / 2));
  }

  callsElement(calls) {
    const section = el("section", { class: "calls", "aria-label": "Tool calls, compared" }, el("h3", {}, "Tool calls"));
    for (const call of calls) {
      const name = (text) => (text === null ? el("span", { class: "none" }, "no call") : el("code", {}, visible(text)));
      const head = el(
        "tr",
        { class: call.left === call.right ? null : "differs" },
        el("th", { scope: "col" }, ""),
        ...PLACES.map((place) => el("th", { scope: "col" }, el("span", { class: `side ${place}` }, NAME[place]), " ", name(call[place]), call[`${place}_broken`] ? el("span", { class: "broken" }, "cannot be parsed") : null)),
      );
      const value = (text) => el("td", {}, text === null ? el("span", { class: "none" }, "–") : foldable(text, 400));
      const rows = call.rows.map(([path, left, right, differs]) =>
        el("tr", { class: differs ? "differs" : null }, el("th", { scope: "row" }, path ? visible(path) : "as sent", differs ? el("span", { class: "sr" }, " differs") : null), value(left), value(right)),
      );
      section.append(el("table", {}, el("thead", {}, head), el("tbody", {}, ...rows)));
      if (call.hidden) section.append(el("p", { class: "none" }, `${count(call.hidden, "more argument")} not shown.`));
      if (!rows.length) section.append(el("p", { class: "none" }, "No arguments."));
    }
    return section;
  }
}

function isField(node) {
  if (!node || !node.tagName) return false;
  if (node.isContentEditable) return true;
  if (node.tagName === "INPUT") return !["checkbox", "radio", "button", "submit", "range"].includes(node.type);
  return node.tagName === "TEXTAREA" || node.tagName === "SELECT";
}

function stored(name, value) {
  try {
    if (value === undefined) return localStorage.getItem(name);
    if (value === null) localStorage.removeItem(name);
    else localStorage.setItem(name, value);
  } catch {
    // a preference, no more
  }
  return null;
}

function scroller(host) {
  let node = host.host ?? host;
  while (node && node !== document.body) {
    const { overflowY } = getComputedStyle(node);
    if (overflowY === "auto" || overflowY === "scroll") return node;
    node = node.parentElement ?? node.getRootNode().host;
  }
  return document.scrollingElement;
}
