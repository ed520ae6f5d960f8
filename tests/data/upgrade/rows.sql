BEGIN TRANSACTION;
CREATE TABLE "auth_group" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "name" varchar(150) NOT NULL UNIQUE);
CREATE TABLE "auth_group_permissions" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "group_id" integer NOT NULL REFERENCES "auth_group" ("id") DEFERRABLE INITIALLY DEFERRED, "permission_id" integer NOT NULL REFERENCES "auth_permission" ("id") DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE "auth_permission" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "content_type_id" integer NOT NULL REFERENCES "django_content_type" ("id") DEFERRABLE INITIALLY DEFERRED, "codename" varchar(100) NOT NULL, "name" varchar(255) NOT NULL);
CREATE TABLE "auth_user" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "password" varchar(128) NOT NULL, "last_login" datetime NULL, "is_superuser" bool NOT NULL, "username" varchar(150) NOT NULL UNIQUE, "last_name" varchar(150) NOT NULL, "email" varchar(254) NOT NULL, "is_staff" bool NOT NULL, "is_active" bool NOT NULL, "date_joined" datetime NOT NULL, "first_name" varchar(150) NOT NULL);
CREATE TABLE "auth_user_groups" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "user_id" integer NOT NULL REFERENCES "auth_user" ("id") DEFERRABLE INITIALLY DEFERRED, "group_id" integer NOT NULL REFERENCES "auth_group" ("id") DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE "auth_user_user_permissions" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "user_id" integer NOT NULL REFERENCES "auth_user" ("id") DEFERRABLE INITIALLY DEFERRED, "permission_id" integer NOT NULL REFERENCES "auth_permission" ("id") DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE "axes_accessattempt" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "user_agent" varchar(255) NOT NULL, "ip_address" char(39) NULL, "username" varchar(255) NULL, "http_accept" varchar(1025) NOT NULL, "path_info" varchar(255) NOT NULL, "attempt_time" datetime NOT NULL, "get_data" text NOT NULL, "post_data" text NOT NULL, "failures_since_start" integer unsigned NOT NULL CHECK ("failures_since_start" >= 0));
CREATE TABLE "axes_accessattemptexpiration" ("access_attempt_id" integer NOT NULL PRIMARY KEY REFERENCES "axes_accessattempt" ("id") DEFERRABLE INITIALLY DEFERRED, "expires_at" datetime NOT NULL);
CREATE TABLE "axes_accessfailurelog" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "user_agent" varchar(255) NOT NULL, "ip_address" char(39) NULL, "username" varchar(255) NULL, "http_accept" varchar(1025) NOT NULL, "path_info" varchar(255) NOT NULL, "attempt_time" datetime NOT NULL, "locked_out" bool NOT NULL);
CREATE TABLE "axes_accesslog" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "user_agent" varchar(255) NOT NULL, "ip_address" char(39) NULL, "username" varchar(255) NULL, "http_accept" varchar(1025) NOT NULL, "path_info" varchar(255) NOT NULL, "attempt_time" datetime NOT NULL, "logout_time" datetime NULL, "session_hash" varchar(64) NOT NULL);
CREATE TABLE "django_admin_log" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "object_id" text NULL, "object_repr" varchar(200) NOT NULL, "action_flag" smallint unsigned NOT NULL CHECK ("action_flag" >= 0), "change_message" text NOT NULL, "content_type_id" integer NULL REFERENCES "django_content_type" ("id") DEFERRABLE INITIALLY DEFERRED, "user_id" integer NOT NULL REFERENCES "auth_user" ("id") DEFERRABLE INITIALLY DEFERRED, "action_time" datetime NOT NULL);
CREATE TABLE "django_content_type" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "app_label" varchar(100) NOT NULL, "model" varchar(100) NOT NULL);
INSERT INTO "django_content_type" VALUES(1,'admin','logentry');
INSERT INTO "django_content_type" VALUES(2,'auth','permission');
INSERT INTO "django_content_type" VALUES(3,'auth','group');
INSERT INTO "django_content_type" VALUES(4,'auth','user');
INSERT INTO "django_content_type" VALUES(5,'contenttypes','contenttype');
INSERT INTO "django_content_type" VALUES(6,'sessions','session');
INSERT INTO "django_content_type" VALUES(7,'axes','accessattempt');
INSERT INTO "django_content_type" VALUES(8,'axes','accesslog');
INSERT INTO "django_content_type" VALUES(9,'axes','accessfailurelog');
INSERT INTO "django_content_type" VALUES(10,'axes','accessattemptexpiration');
INSERT INTO "django_content_type" VALUES(11,'ingestion','collection');
INSERT INTO "django_content_type" VALUES(12,'ingestion','source');
INSERT INTO "django_content_type" VALUES(13,'ingestion','run');
INSERT INTO "django_content_type" VALUES(14,'ingestion','document');
INSERT INTO "django_content_type" VALUES(15,'ingestion','chunk');
INSERT INTO "django_content_type" VALUES(16,'ingestion','termfrequencies');
CREATE TABLE "django_migrations" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "app" varchar(255) NOT NULL, "name" varchar(255) NOT NULL, "applied" datetime NOT NULL);
INSERT INTO "django_migrations" VALUES(1,'contenttypes','0001_initial','2026-11-28 20:02:05.609145');
INSERT INTO "django_migrations" VALUES(2,'auth','0001_initial','2026-11-28 20:02:05.621598');
INSERT INTO "django_migrations" VALUES(3,'admin','0001_initial','2026-11-28 20:02:05.626415');
INSERT INTO "django_migrations" VALUES(4,'admin','0002_logentry_remove_auto_add','2026-11-28 20:02:05.637250');
INSERT INTO "django_migrations" VALUES(5,'admin','0003_logentry_add_action_flag_choices','2026-11-28 20:02:05.640761');
INSERT INTO "django_migrations" VALUES(6,'contenttypes','0002_remove_content_type_name','2026-11-28 20:02:05.654597');
INSERT INTO "django_migrations" VALUES(7,'auth','0002_alter_permission_name_max_length','2026-11-28 20:02:05.663721');
INSERT INTO "django_migrations" VALUES(8,'auth','0003_alter_user_email_max_length','2026-11-28 20:02:05.669035');
INSERT INTO "django_migrations" VALUES(9,'auth','0004_alter_user_username_opts','2026-11-28 20:02:05.676568');
INSERT INTO "django_migrations" VALUES(10,'auth','0005_alter_user_last_login_null','2026-11-28 20:02:05.682281');
INSERT INTO "django_migrations" VALUES(11,'auth','0006_require_contenttypes_0002','2026-11-28 20:02:05.682791');
INSERT INTO "django_migrations" VALUES(12,'auth','0007_alter_validators_add_error_messages','2026-11-28 20:02:05.686140');
INSERT INTO "django_migrations" VALUES(13,'auth','0008_alter_user_username_max_length','2026-11-28 20:02:05.697583');
INSERT INTO "django_migrations" VALUES(14,'auth','0009_alter_user_last_name_max_length','2026-11-28 20:02:05.702864');
INSERT INTO "django_migrations" VALUES(15,'auth','0010_alter_group_name_max_length','2026-11-28 20:02:05.709568');
INSERT INTO "django_migrations" VALUES(16,'auth','0011_update_proxy_permissions','2026-11-28 20:02:05.717309');
INSERT INTO "django_migrations" VALUES(17,'auth','0012_alter_user_first_name_max_length','2026-11-28 20:02:05.722531');
INSERT INTO "django_migrations" VALUES(18,'axes','0001_initial','2026-11-28 20:02:05.729195');
INSERT INTO "django_migrations" VALUES(19,'axes','0002_auto_20151217_2044','2026-11-28 20:02:05.759367');
INSERT INTO "django_migrations" VALUES(20,'axes','0003_auto_20160322_0929','2026-11-28 20:02:05.769927');
INSERT INTO "django_migrations" VALUES(21,'axes','0004_auto_20181024_1538','2026-11-28 20:02:05.780865');
INSERT INTO "django_migrations" VALUES(22,'axes','0005_remove_accessattempt_trusted','2026-11-28 20:02:05.788951');
INSERT INTO "django_migrations" VALUES(23,'axes','0006_remove_accesslog_trusted','2026-11-28 20:02:05.792690');
INSERT INTO "django_migrations" VALUES(24,'axes','0007_alter_accessattempt_unique_together','2026-11-28 20:02:05.803377');
INSERT INTO "django_migrations" VALUES(25,'axes','0008_accessfailurelog','2026-11-28 20:02:05.807693');
INSERT INTO "django_migrations" VALUES(26,'axes','0009_add_session_hash','2026-11-28 20:02:05.811181');
INSERT INTO "django_migrations" VALUES(27,'axes','0010_accessattemptexpiration','2026-11-28 20:02:05.817273');
INSERT INTO "django_migrations" VALUES(28,'ingestion','0001_initial','2026-11-28 20:02:05.877013');
INSERT INTO "django_migrations" VALUES(29,'ingestion','0002_sources_and_refresh','2026-11-28 20:02:06.214348');
INSERT INTO "django_migrations" VALUES(30,'ingestion','0003_collections','2026-11-28 20:02:06.258227');
INSERT INTO "django_migrations" VALUES(31,'ingestion','0004_claim_order','2026-11-28 20:02:06.290862');
INSERT INTO "django_migrations" VALUES(32,'ingestion','0005_dropped_words_and_held_up_runs','2026-11-28 20:02:06.314215');
INSERT INTO "django_migrations" VALUES(33,'ingestion','0006_words','2026-11-28 20:02:06.327765');
INSERT INTO "django_migrations" VALUES(34,'sessions','0001_initial','2026-11-28 20:02:06.333750');
CREATE TABLE "django_session" ("session_key" varchar(40) NOT NULL PRIMARY KEY, "session_data" text NOT NULL, "expire_date" datetime NOT NULL);
CREATE TABLE "ingestion_chunk" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "key" varchar(32) NOT NULL UNIQUE, "position" integer unsigned NOT NULL CHECK ("position" >= 0), "text" text NOT NULL, "heading" varchar(1000) NOT NULL, "anchor" varchar(500) NOT NULL, "start" integer unsigned NOT NULL CHECK ("start" >= 0), "end" integer unsigned NOT NULL CHECK ("end" >= 0), "tokens" integer unsigned NOT NULL CHECK ("tokens" >= 0), "state" varchar(20) NOT NULL, "attempts" integer unsigned NOT NULL CHECK ("attempts" >= 0), "owner" varchar(200) NOT NULL, "lease_until" datetime NULL, "buffered_at" datetime NULL, "error" text NOT NULL, "document_id" bigint NOT NULL REFERENCES "ingestion_document" ("id") DEFERRABLE INITIALLY DEFERRED, "digest" varchar(32) NOT NULL);
INSERT INTO "ingestion_chunk" VALUES(1,'48da2e8a1db46dac3387286d38ddd1a2',0,'Pour half a litre of vinegar into the kettle and let it stand for an hour. Rinse twice.

## How often

With hard water descale every month, otherwise twice a year.','Descaling','descaling',13,176,44,'indexed',0,'',NULL,'2026-11-28 20:02:26.732936','',2,'44ff005fdf2ff18a8160010e67a70a17');
INSERT INTO "ingestion_chunk" VALUES(2,'e944f568d47be070233bd541a77c786d',0,'Fill the kettle to the line. Press the lever down until it clicks.

## Altitude

Above 3000 metres water boils below 90 degrees, so that green tea needs no waiting.','Boiling water','boiling-water',17,181,40,'indexed',0,'',NULL,'2026-11-28 20:02:26.732936','',1,'12a64d2b85bf38198ca42f535b36cac2');
INSERT INTO "ingestion_chunk" VALUES(3,'8885682b242566e89560957ce8a0e66a',0,'Unscrew the lid, lift the old gasket with a spoon, and press the new one in.

| part | number |
| --- | --- |
| gasket | K-204 |
| lid screw | K-118 |','Replacing the gasket','replacing-the-gasket',24,174,61,'indexed',0,'',NULL,'2026-11-28 20:02:26.732936','',3,'811a28c875fcb80691b3d292ee14ea4a');
INSERT INTO "ingestion_chunk" VALUES(4,'dc951bcfeba3323fcb8f01a5f1cbc781',0,'The warranty lasts five years. It does not cover scale. Keep the receipt.','Warranty','warranty',12,85,21,'indexed',0,'',NULL,'2026-11-28 20:02:26.732936','',4,'682f7220a113083835816097e4139082');
CREATE TABLE "ingestion_collection" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "name" varchar(200) NOT NULL UNIQUE, "model" varchar(500) NOT NULL, "dimension" integer unsigned NOT NULL CHECK ("dimension" >= 0), "active" bool NOT NULL, "created_at" datetime NOT NULL, "pooling" varchar(20) NOT NULL, "building" bool NOT NULL, "checked_to" bigint NULL, "last_chunk" bigint NOT NULL, "note" text NOT NULL, "audit" text NOT NULL CHECK ((JSON_VALID("audit") OR "audit" IS NULL)), "started_at" datetime NULL, "retired_at" datetime NULL, "layout" smallint unsigned NOT NULL CHECK ("layout" >= 0));
INSERT INTO "ingestion_collection" VALUES(1,'documents_stand_in_384_b4ded7_2','@DATA_DIR@/models/stand-in',384,1,'2026-11-28 20:02:14.603752','mean',0,NULL,0,'','{}',NULL,NULL,2);
CREATE TABLE "ingestion_document" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "url" varchar(2048) NOT NULL, "title" varchar(500) NOT NULL, "state" varchar(20) NOT NULL, "depth" integer unsigned NOT NULL CHECK ("depth" >= 0), "attempts" integer unsigned NOT NULL CHECK ("attempts" >= 0), "error" text NOT NULL, "lease_until" datetime NULL, "next_attempt_at" datetime NULL, "content_hash" varchar(64) NOT NULL, "misses" integer unsigned NOT NULL CHECK ("misses" >= 0), "etag" varchar(512) NOT NULL, "last_modified" varchar(100) NOT NULL, "markdown" text NOT NULL, "chunk_count" integer unsigned NOT NULL CHECK ("chunk_count" >= 0), "new_chunks" integer unsigned NOT NULL CHECK ("new_chunks" >= 0), "new_tokens" integer unsigned NOT NULL CHECK ("new_tokens" >= 0), "fetch_seconds" real NOT NULL, "extract_seconds" real NOT NULL, "chunk_seconds" real NOT NULL, "created_at" datetime NOT NULL, "updated_at" datetime NOT NULL, "started_at" datetime NULL, "indexed_at" datetime NULL, "run_id" bigint NULL REFERENCES "ingestion_run" ("id") DEFERRABLE INITIALLY DEFERRED, "source_id" bigint NOT NULL REFERENCES "ingestion_source" ("id") DEFERRABLE INITIALLY DEFERRED, "listed_version" varchar(200) NOT NULL, "shape" varchar(32) NOT NULL, "suspect_hash" varchar(64) NOT NULL, "template" varchar(300) NOT NULL, "text_hash" varchar(64) NOT NULL, "unchanged_by" varchar(20) NOT NULL, "version" varchar(200) NOT NULL, "dropped" text NOT NULL CHECK ((JSON_VALID("dropped") OR "dropped" IS NULL)), "duplicate_of_id" bigint NULL REFERENCES "ingestion_document" ("id") DEFERRABLE INITIALLY DEFERRED, CONSTRAINT "document_url_once" UNIQUE ("source_id", "url"));
INSERT INTO "ingestion_document" VALUES(1,'https://docs.example.org/boiling/','Boiling water','indexed',0,1,'',NULL,NULL,'8b8af3fa9ccd149fe6f16c80cd8c0b0d304ab2c03a96d63e4894ee19f6bbc9aa',0,'','','# Boiling water

Fill the kettle to the line. Press the lever down until it clicks.

## Altitude

Above 3000 metres water boils below 90 degrees, so that green tea needs no waiting.',1,1,40,1.41450800001621246337e-02,3.5279100047773681581e-03,1.074295459984568879e-01,'2026-11-28 20:02:16.327130','2026-11-28 20:02:26.920270','2026-11-28 20:02:16.369200','2026-11-28 20:02:26.920270',1,1,'81750a2ef5a3b5458bf90b3e6c74313f','001232d0d5151efb9955e53eae1c56a0','','','b2974f14d23b38385c9020ff36b3677a','','81750a2ef5a3b5458bf90b3e6c74313f','{}',NULL);
INSERT INTO "ingestion_document" VALUES(2,'https://docs.example.org/descaling/','Descaling','indexed',0,1,'',NULL,NULL,'024bda375edf4e2d74c887a78acef7665a6be2d1fea72623a5f4f417a778171c',0,'','','# Descaling

Pour half a litre of vinegar into the kettle and let it stand for an hour. Rinse twice.

## How often

With hard water descale every month, otherwise twice a year.',1,1,44,4.3657799687935039401e-04,6.32677799876546487212e-03,8.58981250057695433497e-02,'2026-11-28 20:02:16.327199','2026-11-28 20:02:26.920270','2026-11-28 20:02:16.377795','2026-11-28 20:02:26.920270',1,1,'8717475a2037121f63aa1e175007abdd','001232d0d5151efb9955e53eae1c56a0','','','cab8e2bb5855faa7316a5d5c1a6c75f4','','8717475a2037121f63aa1e175007abdd','{}',NULL);
INSERT INTO "ingestion_document" VALUES(3,'https://docs.example.org/gasket/','Replacing the gasket','indexed',0,1,'',NULL,NULL,'61c059034a3ffbae4ec4acd20dd104974c0423da521405c6d42798cd55c27d44',0,'','','# Replacing the gasket

Unscrew the lid, lift the old gasket with a spoon, and press the new one in.

| part | number |
| --- | --- |
| gasket | K-204 |
| lid screw | K-118 |',1,1,61,4.33733999670948833227e-04,1.09612799860769882798e-03,0.000647291999484878,'2026-11-28 20:02:16.327246','2026-11-28 20:02:26.920270','2026-11-28 20:02:16.541089','2026-11-28 20:02:26.920270',1,1,'789c2099c61532c5227786922e1a0430','001232d0d5151efb9955e53eae1c56a0','','','8250715a41ea8a17cd9116d4bbd39d55','','789c2099c61532c5227786922e1a0430','{}',NULL);
INSERT INTO "ingestion_document" VALUES(4,'https://docs.example.org/warranty/','Warranty','indexed',0,1,'',NULL,NULL,'2ba393649ed698c8ebf77ccc40f5c867095daa3e8aeb5ff769b1acae5546f1b9',0,'','','# Warranty

The warranty lasts five years. It does not cover scale. Keep the receipt.',1,1,21,3.69889996363781392574e-04,6.397399993147701025e-04,4.81975999718997627496e-04,'2026-11-28 20:02:16.327289','2026-11-28 20:02:26.920270','2026-11-28 20:02:16.623876','2026-11-28 20:02:26.920270',1,1,'d6e73931e12403c7e6464dee7183b4b9','001232d0d5151efb9955e53eae1c56a0','','','3ca9fa0c4691352daf235429e5a30a20','','d6e73931e12403c7e6464dee7183b4b9','{}',NULL);
CREATE TABLE "ingestion_run" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "state" varchar(20) NOT NULL, "error" text NOT NULL, "note" text NOT NULL, "lease_until" datetime NULL, "created_at" datetime NOT NULL, "finished_at" datetime NULL, "list_seconds" real NOT NULL, "embed_seconds" real NOT NULL, "index_seconds" real NOT NULL, "source_id" bigint NOT NULL REFERENCES "ingestion_source" ("id") DEFERRABLE INITIALLY DEFERRED, "attempts" integer unsigned NOT NULL CHECK ("attempts" >= 0), "complete" bool NOT NULL, "copied_chunks" integer unsigned NOT NULL CHECK ("copied_chunks" >= 0), "copied_tokens" integer unsigned NOT NULL CHECK ("copied_tokens" >= 0), "embed_tokens" integer unsigned NOT NULL CHECK ("embed_tokens" >= 0), "figures" text NOT NULL CHECK ((JSON_VALID("figures") OR "figures" IS NULL)), "remarks" text NOT NULL CHECK ((JSON_VALID("remarks") OR "remarks" IS NULL)), "held_up_until" datetime NULL);
INSERT INTO "ingestion_run" VALUES(1,'finished','','',NULL,'2026-11-28 20:02:16.203616','2026-11-28 20:02:26.935040',3.99777089987765066325e-02,2.0522429200354963541e-01,1.06124628000543452799e-01,1,1,1,0,0,166,'{"documents": 4, "indexed": 4, "unchanged": 0, "duplicates": 0, "missing": 0, "failed": 0, "gone": 0, "chunks": 4, "embedded": 4, "reused": 0, "tokens": 166, "seconds": 10.73, "stages": {"list": 0.04, "fetch": 0.015, "extract": 0.012, "chunk": 0.194, "embed": 0.205, "index": 0.106}, "saved": {"pages": {}, "vectors_copied": 0, "tokens": 0, "embedding_seconds": 0.0}, "dropped": {}}','{}',NULL);
CREATE TABLE "ingestion_source" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "name" varchar(200) NOT NULL UNIQUE, "kind" varchar(20) NOT NULL, "target" varchar(2048) NOT NULL, "include" text NOT NULL CHECK ((JSON_VALID("include") OR "include" IS NULL)), "exclude" text NOT NULL CHECK ((JSON_VALID("exclude") OR "exclude" IS NULL)), "max_pages" integer unsigned NULL CHECK ("max_pages" >= 0), "max_depth" integer unsigned NOT NULL CHECK ("max_depth" >= 0), "refresh_seconds" integer unsigned NULL CHECK ("refresh_seconds" >= 0), "next_run_at" datetime NULL, "deleting" bool NOT NULL, "created_at" datetime NOT NULL, "connections" integer unsigned NULL CHECK ("connections" >= 0), "delay_seconds" real NULL, "paused_until" datetime NULL, "trusts_dates" bool NOT NULL, "max_alike" integer unsigned NOT NULL CHECK ("max_alike" >= 0), CONSTRAINT "source_target_once" UNIQUE ("kind", "target"));
INSERT INTO "ingestion_source" VALUES(1,'@PAGES@','jsonl','@PAGES@','[]','[]',NULL,8,NULL,NULL,0,'2026-11-28 20:02:16.202941',NULL,NULL,NULL,1,500);
CREATE TABLE "ingestion_termfrequencies" ("id" integer NOT NULL PRIMARY KEY AUTOINCREMENT, "chunks" integer unsigned NOT NULL CHECK ("chunks" >= 0), "sampled" integer unsigned NOT NULL CHECK ("sampled" >= 0), "terms" BLOB NOT NULL, "counts" BLOB NOT NULL, "counted_at" datetime NOT NULL);
INSERT INTO "ingestion_termfrequencies" VALUES(1,4,4,X'5D459B0BD9B1540D7310BB0EAE6BD0191220801B5C69AD1CC87A211D26A6B81F19EFDE22653C412468EA8A27E037BA27CCEA1229CA1FC92F4E9886360C5315378DFEE53AFA1B5842BF3BB445CE487D4C84568E507BD5395A0616A45ABB0EE85B472F9B6174F22867D8917369F60FE269BDE2026A8D68A96C4B38FB6EDBCAFA6FA6E63E72E5F4D27A7505FC823F817083BFECC28446ED838E29460492762191952CE0479B358F89A4DD4B7FA568F6F6A5454CBFA99FE4D9AB2C66EAABDB2750AD580740AFE59B71AF5C4540B64A2936B7529A04B8610CE9B9F9B90CBD697783C1CD2CDAC37DC2AFC5EDB6D6C8A1B651CA2F4B56CB6E477CCBAE9AC7DBB4D501DCB9B687DDAC1007E098FAAFE2CDE989E37E2EA6EADB61FFEDD24DEAF0ECE6FCF2A9B7F3F4F1A092F89A42FCFC28B325FF',X'01000000010000000100000001000000010000000100000001000000010000000200000001000000010000000100000001000000010000000100000001000000010000000100000001000000010000000100000001000000010000000100000002000000010000000100000001000000010000000100000001000000010000000400000002000000020000000100000001000000010000000300000001000000020000000100000001000000010000000100000001000000010000000100000001000000010000000100000001000000010000000100000002000000010000000100000001000000010000000100000001000000010000000100000001000000010000000100000001000000010000000100000001000000010000000100000001000000010000000100000001000000','2026-11-28 20:02:17.500052');
CREATE UNIQUE INDEX "auth_group_permissions_group_id_permission_id_0cd325b0_uniq" ON "auth_group_permissions" ("group_id", "permission_id");
CREATE INDEX "auth_group_permissions_group_id_b120cbf9" ON "auth_group_permissions" ("group_id");
CREATE INDEX "auth_group_permissions_permission_id_84c5c92e" ON "auth_group_permissions" ("permission_id");
CREATE UNIQUE INDEX "auth_user_groups_user_id_group_id_94350c0c_uniq" ON "auth_user_groups" ("user_id", "group_id");
CREATE INDEX "auth_user_groups_user_id_6a12ed8b" ON "auth_user_groups" ("user_id");
CREATE INDEX "auth_user_groups_group_id_97559544" ON "auth_user_groups" ("group_id");
CREATE UNIQUE INDEX "auth_user_user_permissions_user_id_permission_id_14a6b632_uniq" ON "auth_user_user_permissions" ("user_id", "permission_id");
CREATE INDEX "auth_user_user_permissions_user_id_a95ead1b" ON "auth_user_user_permissions" ("user_id");
CREATE INDEX "auth_user_user_permissions_permission_id_1fbb5f2c" ON "auth_user_user_permissions" ("permission_id");
CREATE INDEX "django_admin_log_content_type_id_c4bce8eb" ON "django_admin_log" ("content_type_id");
CREATE INDEX "django_admin_log_user_id_c564eba6" ON "django_admin_log" ("user_id");
CREATE UNIQUE INDEX "django_content_type_app_label_model_76bd3d3b_uniq" ON "django_content_type" ("app_label", "model");
CREATE UNIQUE INDEX "auth_permission_content_type_id_codename_01ab375a_uniq" ON "auth_permission" ("content_type_id", "codename");
CREATE INDEX "auth_permission_content_type_id_2f476e4b" ON "auth_permission" ("content_type_id");
CREATE INDEX "axes_accessattempt_user_agent_ad89678b" ON "axes_accessattempt" ("user_agent");
CREATE INDEX "axes_accessattempt_ip_address_10922d9c" ON "axes_accessattempt" ("ip_address");
CREATE INDEX "axes_accessattempt_username_3f2d4ca0" ON "axes_accessattempt" ("username");
CREATE UNIQUE INDEX "axes_accessattempt_username_ip_address_user_agent_8ea22282_uniq" ON "axes_accessattempt" ("username", "ip_address", "user_agent");
CREATE INDEX "axes_accessfailurelog_user_agent_ea145dda" ON "axes_accessfailurelog" ("user_agent");
CREATE INDEX "axes_accessfailurelog_ip_address_2e9f5a7f" ON "axes_accessfailurelog" ("ip_address");
CREATE INDEX "axes_accessfailurelog_username_a8b7e8a4" ON "axes_accessfailurelog" ("username");
CREATE INDEX "axes_accesslog_user_agent_0e659004" ON "axes_accesslog" ("user_agent");
CREATE INDEX "axes_accesslog_ip_address_86b417e5" ON "axes_accesslog" ("ip_address");
CREATE INDEX "axes_accesslog_username_df93064b" ON "axes_accesslog" ("username");
CREATE INDEX "ingestion_chunk_document_id_34de3014" ON "ingestion_chunk" ("document_id");
CREATE INDEX "ingestion_chunk_digest_6ddc1b7c" ON "ingestion_chunk" ("digest");
CREATE UNIQUE INDEX "one_active_run_per_source" ON "ingestion_run" ("source_id") WHERE "state" IN ('waiting', 'listing', 'running');
CREATE INDEX "ingestion_run_source_id_22d56ded" ON "ingestion_run" ("source_id");
CREATE INDEX "chunk_claim_order" ON "ingestion_chunk" ("state", "attempts", "id");
CREATE INDEX "chunk_document_state" ON "ingestion_chunk" ("document_id", "state", "attempts");
CREATE INDEX "ingestion_document_run_id_ed881893" ON "ingestion_document" ("run_id");
CREATE INDEX "ingestion_document_source_id_e78a23c0" ON "ingestion_document" ("source_id");
CREATE INDEX "ingestion_document_duplicate_of_id_a9054da4" ON "ingestion_document" ("duplicate_of_id");
CREATE INDEX "document_start_order" ON "ingestion_document" ("source_id", "state", "depth", "id");
CREATE INDEX "document_lease" ON "ingestion_document" ("state", "lease_until");
CREATE INDEX "document_run_state" ON "ingestion_document" ("run_id", "state");
CREATE INDEX "document_template" ON "ingestion_document" ("run_id", "template");
CREATE INDEX "document_text" ON "ingestion_document" ("source_id", "text_hash");
CREATE UNIQUE INDEX "one_active_collection" ON "ingestion_collection" ("active") WHERE "active";
CREATE UNIQUE INDEX "one_building_collection" ON "ingestion_collection" ("building") WHERE "building";
CREATE INDEX "django_session_expire_date_a5c62663" ON "django_session" ("expire_date");
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('django_migrations',34);
INSERT INTO "sqlite_sequence" VALUES('django_admin_log',0);
INSERT INTO "sqlite_sequence" VALUES('django_content_type',16);
INSERT INTO "sqlite_sequence" VALUES('auth_permission',64);
INSERT INTO "sqlite_sequence" VALUES('auth_group',0);
INSERT INTO "sqlite_sequence" VALUES('auth_user',0);
INSERT INTO "sqlite_sequence" VALUES('axes_accessattempt',0);
INSERT INTO "sqlite_sequence" VALUES('axes_accesslog',0);
INSERT INTO "sqlite_sequence" VALUES('ingestion_chunk',4);
INSERT INTO "sqlite_sequence" VALUES('ingestion_run',1);
INSERT INTO "sqlite_sequence" VALUES('ingestion_source',1);
INSERT INTO "sqlite_sequence" VALUES('ingestion_document',4);
INSERT INTO "sqlite_sequence" VALUES('ingestion_collection',1);
INSERT INTO "sqlite_sequence" VALUES('ingestion_termfrequencies',1);
COMMIT;
