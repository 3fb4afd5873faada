import { render } from "preact";
import { watchServer } from "./model/serving.ts";
import { App } from "./view/app.tsx";

render(<App />, document.getElementById("app")!);
watchServer();
