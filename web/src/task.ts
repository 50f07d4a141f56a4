/** @internal Lets the page breathe: resolves in a task of its own, behind those that wait already. */
export function nextTask(): Promise<void> {
	const { scheduler } = globalThis as { scheduler?: { postTask?(run: () => void): Promise<void> } };
	if (scheduler?.postTask) {
		return scheduler.postTask(() => {});
	}
	return new Promise((resolve) => {
		const { port1, port2 } = new MessageChannel();
		port1.onmessage = () => {
			port1.close();
			resolve();
		};
		port2.postMessage(null);
	});
}
