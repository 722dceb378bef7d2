import type { Health } from '../health';

/** An instance's status as a shape. What people took out on purpose is not broken. */
const OF_STATUS: Record<string, Health> = { up: 'ok', down: 'bad', starting: 'warn', draining: 'idle', maintenance: 'idle' };

export const healthOfStatus = (status: string): Health => OF_STATUS[status] ?? 'unknown';
