#!/usr/bin/env node
// pnpm links the command when it installs, before anything is built.
import '../dist/cli.js';
