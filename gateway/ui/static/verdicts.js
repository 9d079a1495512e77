// What the decisions on single lesions make of their check, as docs/review.md allows it.

const WORK = ["corrected", "added"];

/** Whether lesions were changed by hand, which no decision on the whole check sweeps away. */
export function hasWork(finding) {
  return (finding?.lesions ?? []).some((one) => WORK.includes(one.decision));
}

/** Whether a correction changes nothing yet: some lesions are accepted, others wait. */
export function isPending(finding, state) {
  return finding.decision === "corrected" && !changesCheck(finding, state)
    && (finding.lesions ?? []).every((one) => one.decision === "accepted");
}

/**
 * What becomes of a lesion: by its own decision, or else by that on its check; "" while it is open.
 * A check that is corrected and negative keeps none.
 */
export function fateOf(finding, id, state) {
  if (!finding) return "";
  const isCorrected = finding.decision === "corrected" && !isPending(finding, state);
  if (isCorrected && (finding.state ?? state) === "negative") return "rejected";
  const own = finding.lesions?.find((one) => one.id === id)?.decision;
  return own ?? (finding.decision === "corrected" ? "" : finding.decision);
}

export function addedOf(finding) {
  return (finding?.lesions ?? []).filter((one) => one.decision === "added");
}

/**
 * Put a decision on one lesion into what is said of its check; null takes it back.
 *
 * `shown` are the ids that the page lists, `state` is the check's. Gives null where nothing is
 * said of the check any more.
 */
export function judged(finding, id, said, { shown, state }) {
  const next = spelledOut(finding, shown);
  next.lesions = next.lesions.filter((one) => one.id !== id);
  if (said) next.lesions.push({ id, ...said });
  if (state !== "indeterminate") next.state = stateOf(finding, next, state);
  return settled(next, shown, state);
}

/** Add a `lesion`, which makes the check positive, or take back the added one at `index`. */
export function added(finding, { lesion, index }, { shown, state }) {
  const next = spelledOut(finding, shown);
  if (lesion) next.lesions.push({ decision: "added", ...lesion });
  else next.lesions.splice(next.lesions.indexOf(addedOf(next)[index]), 1);
  next.state = stateOf(finding, next, state);
  return settled(next, shown, state);
}

/** With a lesion by the reader's hand a check becomes positive, and with the last of them it was. */
function stateOf(before, next, state) {
  if (state === "positive") return next.state;
  if (hasWork(next)) return hasWork(before) ? next.state ?? "positive" : "positive";
  return hasWork(before) && next.state === "positive" ? undefined : next.state;
}

/** Say of each lesion what was said of all of them at once. */
function spelledOut(finding, shown) {
  const { decision = "corrected", state, ...rest } = finding ?? {};
  const whole = state === "negative" ? "rejected" : decision === "corrected" ? "" : decision;
  const known = state === "negative" ? [] : rest.lesions ?? [];
  const lesions = whole && !known.length ? shown.map((id) => ({ id, decision: whole })) : [...known];
  return { ...rest, decision: "corrected", ...(state && state !== "negative" ? { state } : {}), lesions };
}

function changesCheck(finding, state) {
  return (finding.state ?? state) !== state || Boolean(finding.urgency)
    || Object.keys(finding.measures ?? {}).length > 0;
}

function settled(finding, shown, state) {
  const { lesions } = finding;
  const all = (decision) => lesions.every((one) => one.decision === decision)
    && shown.every((id) => lesions.some((one) => one.id === id));
  if (changesCheck(finding, state)) return finding;
  if (!lesions.length) return null;
  const { state: _, ...rest } = finding; // it says what the check says anyway
  if (all("accepted")) return { ...rest, decision: "accepted" };
  if (all("rejected") && state === "positive") return { ...rest, decision: "rejected" };
  return finding;
}
