// What the page shows: the question with its filters, and the stored answer's key once there is one.

const NOTHING = { question: "", filters: {}, after: "", key: "", markdown: "", shared: "" };

export const shown = { ...NOTHING };

export function nowShown(properties) {
  Object.assign(shown, NOTHING, properties);
}
