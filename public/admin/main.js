// @ts-check
/**
 * The operators' page: puts its parts together. What each shows and does: the modules beside it.
 */
import { AlertsView } from "./alerts.js";
import { AdminApi } from "./api.js";
import { Charts } from "./charts.js";
import { withdrawQuestion } from "./confirmation.js";
import { Connection } from "./connection.js";
import { DeadLetters } from "./dead-letters.js";
import { InspectionView } from "./inspection.js";
import { LakeActions } from "./lake-actions.js";
import { LakeView } from "./lake.js";
import { Figures } from "./overview.js";
import { LivePoll } from "./polling.js";
import { SignIn } from "./sign-in.js";
import { StreamLists } from "./streams.js";
import { followTheme } from "./theme.js";
import { Transfer } from "./transfer.js";

/** @import { Overview } from "./contract.d.ts" */

const POLL_EVERY_MS = 3000;

const api = new AdminApi();
const connection = new Connection();
const figures = new Figures();
const charts = new Charts();
const onChange = () => {
  streams.refresh();
  letters.refresh();
  poll.refresh();
};
const inspection = new InspectionView({ api, onChange });
const streams = new StreamLists({ api, onOpen: (requestId) => void inspection.open(requestId) });
const transfer = new Transfer({ api, onChange });
const lake = new LakeView(new LakeActions({ api, onChange, onExport: (shard) => transfer.exportShard(shard) }));
const letters = new DeadLetters({ api, onChange });
const alerts = new AlertsView(api);

/** @type {LivePoll<Overview>} */
const poll = new LivePoll({
  ask: (signal) => api.get("overview", { signal, timeoutMs: 10_000 }),
  onData: show,
  onState: (state) => connection.follow(state),
  everyMs: POLL_EVERY_MS,
});

function show(/** @type {Overview} */ overview) {
  connection.heard(overview.at, Date.now() + api.clockOffsetMs - Date.parse(overview.at));
  figures.show(overview);
  charts.show(overview.points);
  lake.show(overview);
  alerts.show(overview);
  letters.follow(overview);
  streams.follow(overview);
  void inspection.follow();
}

followTheme(() => charts.redraw());
document.addEventListener("visibilitychange", () => {
  if (document.hidden) poll.pause();
  else {
    // Seen again, all that is on the page is asked for, not the figures alone.
    streams.refresh();
    poll.resume();
  }
});
const signIn = new SignIn({
  api,
  onSignedIn: () => {
    poll.start();
    if (document.hidden) poll.pause();
  },
  onSignedOut: () => {
    poll.stop();
    inspection.close();
    withdrawQuestion();
  },
});
await signIn.begin();
