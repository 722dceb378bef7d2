import { mount } from 'svelte';
import App from './App.svelte';
import './theme.css';
import './base.css';

const target = document.getElementById('console');
if (target === null) throw new Error('index.html lacks the element #console');

// What index.html shows until now: something is there before the script has been read.
target.replaceChildren();
mount(App, { target });
