// A question with a few answers, each one key. What stands on the screen is what an answer counts for: texts and keys
// change in one step, and after a key nothing counts until the server has answered with what comes next.
// Text from the data is only ever set as textContent.

const AGAIN_MS = 5000; // unanswered for so long: say so, and take the key again
const questions = new WeakMap();

export default function (component) {
  const host = component.parentElement;
  const data = component.data?.[0];
  if (!data) return undefined;
  let question = questions.get(host);
  if (!question) questions.set(host, (question = new Question(host)));
  question.show(component, data);
  // Streamlit also calls this for a call that a newer one has overtaken: only a question that has left the page ends.
  return () => setTimeout(() => {
    if (!(host.host ?? host).isConnected) {
      question.end();
      questions.delete(host);
    }
  }, 50);
}

class Question {
  constructor(host) {
    this.root = host.appendChild(element("div", "question"));
    this.keys = new AbortController();
    this.count = 0;
    window.addEventListener("keydown", (event) => this.onKey(event), { capture: true, signal: this.keys.signal });
  }

  end() {
    clearTimeout(this.timer);
    this.keys.abort();
    this.root.remove();
  }

  show(component, data) {
    this.component = component;
    if (data.token === this.data?.token) return;
    const focused = this.buttons?.indexOf(this.root.getRootNode().activeElement);
    this.data = data;
    this.paint();
    if (focused >= 0) this.buttons[Math.min(focused, this.buttons.length - 1)].focus();
  }

  paint() {
    const { caption, texts, options } = this.data;
    const parts = texts.flatMap(([name, text]) => [...(name ? [element("h4", "", name)] : []), element("pre", "", text)]);
    this.buttons = options.map((option) => {
      const button = element("button", option.kind);
      button.type = "button";
      button.append(element("span", "", option.label), element("kbd", "", option.sign));
      if (option.kind === "chosen") button.setAttribute("aria-pressed", "true");
      button.setAttribute("aria-keyshortcuts", option.key);
      button.addEventListener("click", () => this.say(option.id));
      return button;
    });
    const answers = element("div", "answers");
    answers.setAttribute("role", "group");
    answers.append(...this.buttons);
    this.note = element("p", "note");
    this.note.setAttribute("role", "status");
    this.root.replaceChildren(element("p", "caption", caption), ...parts, answers, this.note);
    this.wait(false);
  }

  wait(on) {
    clearTimeout(this.timer);
    this.root.dataset.state = on ? "waiting" : "ready";
    for (const button of this.buttons) button.setAttribute("aria-disabled", String(on));
    if (on) {
      this.note.textContent = "";
      this.timer = setTimeout(() => {
        this.wait(false);
        this.note.textContent = "No word that this is stored yet. Press the key again.";
      }, AGAIN_MS);
    }
  }

  say(answer) {
    if (this.root.dataset.state !== "ready") return;
    this.wait(true);
    this.component.setStateValue("said", { token: this.data.token, answer, count: ++this.count });
  }

  onKey(event) {
    if (event.repeat || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const at = event.composedPath()[0];
    if (at.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(at.tagName)) return;
    if (document.querySelector("[role=dialog]")) return;
    const option = this.data?.options.find((each) => each.key === event.key);
    if (!option) return;
    event.preventDefault();
    event.stopPropagation();
    this.say(option.id);
  }
}

function element(tag, name, text) {
  const made = document.createElement(tag);
  if (name) made.className = name;
  if (text !== undefined) made.textContent = text;
  return made;
}
