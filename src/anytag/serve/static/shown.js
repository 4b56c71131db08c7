// Which tags of a photo are shown: pure functions of its answers and of the settings.
//
// A photo has, for each model, an answer (its best tags) and the scores of one's own tags. Tags are
// filtered here, so the threshold moves without another question to the server.

/** How many of the built-in tags the server is asked for. */
export const NUM_ASKED = 60;

/** The same tag, however it is written: "Red_panda " is "red panda". */
export function plain(name) {
  return name.normalize("NFKC").replace(/[_\s]+/g, " ").trim().toLowerCase();
}

/** All tags that are known of a photo, best first; one's own are marked, and none is there twice. */
export function knownTags(photo, { model, ownTags }) {
  const own = photo.own.get(model);
  const wanted = ownTags.map((name) => own?.get(plain(name))).filter(Boolean);
  const taken = new Set(wanted.map((tag) => plain(tag.name)));
  const builtIn = photo.answers.get(model)?.tags ?? [];
  const tags = [
    ...wanted.map((tag) => ({ ...tag, own: true })),
    ...builtIn.filter((tag) => !taken.has(plain(tag.name))).map((tag) => ({ ...tag, own: false })),
  ];
  return tags.sort((a, b) => b.score - a.score);
}

/** Whether a tag counts as present: by its own threshold ("auto") or by one for all. */
export function passes(tag, threshold) {
  const least = threshold === "auto" ? tag.threshold : threshold;
  return least < 1 && tag.score >= least; // a threshold of 1 means never, as everywhere in anytag
}

/** The tags that count as present. */
export function shownTags(photo, settings) {
  return knownTags(photo, settings).filter((tag) => passes(tag, settings.threshold));
}

/** The tags one sees in an open photo: those present, and one's own however low. */
export function detailTags(photo, settings) {
  return knownTags(photo, settings)
    .map((tag) => ({ ...tag, present: passes(tag, settings.threshold) }))
    .filter((tag) => tag.present || tag.own);
}
