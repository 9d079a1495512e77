// One's own review while it is a draft: saved a while after the last change, one save at a time.

import { ask } from "./common.js";

const SAVE_MILLISECONDS = 1500; // after the last change
const KEEPALIVE_CHARACTERS = 20_000; // a browser carries 64 KB beyond the end of its page

export class Draft {
  /** `tell(text)` shows what happened, `words.saved` that it is safe. */
  constructor(words, tell) {
    this.words = words;
    this.tell = tell;
    this.review = null;
    this.isChanged = false;
    this.waiting = 0;
    this.running = Promise.resolve(true);
    addEventListener("pagehide", () => this.isChanged && this.save());
  }

  get content() {
    return this.review?.content ?? null;
  }

  take(review) {
    this.review = review;
    this.review.content ??= {};
  }

  async begin(screening, body = {}) {
    this.take(await ask("POST", `/v1/screenings/${screening}/reviews`, body));
  }

  changed() {
    this.isChanged = true;
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.save(), SAVE_MILLISECONDS);
  }

  save() {
    this.running = this.running.then(() => this.put());
    return this.running;
  }

  async put() {
    clearTimeout(this.waiting);
    this.isChanged = false;
    const { review_id, revision, content } = this.review;
    const body = { revision, content };
    try {
      const keepalive = JSON.stringify(content).length < KEEPALIVE_CHARACTERS;
      const saved = await ask("PUT", `/v1/reviews/${review_id}`, body, { keepalive });
      this.review.revision = saved.revision;
      if (!this.isChanged) this.tell(this.words.saved);
      return true;
    } catch (error) {
      this.isChanged = true;
      this.tell(error.message);
      return false;
    }
  }

  /** Save and sign; false where it says why not. */
  async sign() {
    if (!await this.save()) return false;
    try {
      await ask("POST", `/v1/reviews/${this.review.review_id}/sign`, { revision: this.review.revision });
      return true;
    } catch (error) {
      this.tell(error.message);
      return false;
    }
  }
}
