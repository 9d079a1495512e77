// The decision on a whole check: accepted, rejected, corrected to another state, with a comment.

import { commentField, element, press } from "./fields.js";
import { hasWork, isPending } from "./verdicts.js";

const STATES = ["positive", "negative", "indeterminate"];

export function drawDecision(desk, card) {
  const box = desk.boxOf(card), check = card.dataset.check, { words } = desk;
  const finding = desk.findings[check], { state } = box.dataset;
  const isOpen = !finding || isPending(finding, state);
  box.toggleAttribute("data-decided", !isOpen);
  box.hidden = !desk.isDraft && !finding;
  const byLesions = !isOpen && finding.decision === "corrected" && !finding.state
    ? element("span", { className: "chip own", textContent: words.lesions_corrected })
    : null;
  const parts = desk.isDraft
    ? [...choices(desk, check, state, isOpen), byLesions, note(desk, check, finding)]
    : [byLesions ?? outcome(words, finding), element("span", { className: "said", textContent: finding?.comment ?? "" })];
  box.replaceChildren(...parts.filter(Boolean));
}

function choices(desk, check, state, isOpen) {
  const { words } = desk, finding = desk.findings[check], work = hasWork(finding);
  const choice = (decision, label, other) => {
    const on = !isOpen && finding.decision === decision && (!other || finding.state === other);
    const button = press(label, () => decide(desk, check, on, decision, other), { pressed: on });
    if (work && !on && (decision !== "corrected" || other === "negative")) {
      button.disabled = true;
      button.title = words.take_back;
    }
    return button;
  };
  const others = STATES.filter((one) => one !== state && !(one === "negative" && state === "positive"));
  return [
    choice("accepted", words.accept),
    state === "positive" ? choice("rejected", words.reject) : null,
    ...others.map((one) => choice("corrected", `${words.correct}: ${words[one]}`, one)),
  ];
}

/** A second press takes a decision back; lesions that were changed by hand stay. */
function decide(desk, check, on, decision, state) {
  const finding = desk.findings[check], work = hasWork(finding);
  if (on && !work) return desk.decide(check, null);
  if (on) return desk.decide(check, { ...finding, decision: "corrected", state: undefined });
  const lesions = work || (decision === "corrected" && state !== "negative") ? finding?.lesions ?? [] : [];
  desk.decide(check, { ...finding, decision, state, lesions });
}

function note(desk, check, finding) {
  const { words } = desk;
  return commentField(words.comment, `${words.comment}: ${check}`, finding?.comment, (text) => {
    const now = desk.findings[check];
    if (!now) return desk.say(words.to_undecided);
    now.comment = text;
    desk.draft.changed();
  });
}

function outcome(words, finding) {
  const to = finding?.state ? `: ${words[finding.state]}` : "";
  const said = finding ? `${words[finding.decision]}${to}` : "";
  return element("span", { className: "chip own", textContent: said });
}
